"""The attention slot."""

from torch import Tensor, nn

from trainer.model.block_inputs import BlockInputs


class Attention(nn.Module):
    """Base class of attention: the output with each channel scaled, and the values that it attended to.

    The output of tokens that are not needed may be left out. Shapes: (B, T, D), (D,) -> (B, S or T, D), (B, T, F).
    """

    def readers(self) -> list[nn.Parameter]:
        """Return the matrices that read the residual stream; the model initialises them."""
        return []

    def forward(self, x_BTD: Tensor, scale_D: Tensor, inputs: BlockInputs) -> tuple[Tensor, Tensor]:
        raise NotImplementedError
