"""The attention slot."""

from torch import Tensor, nn

from trainer.model.block_inputs import BlockInputs


class Attention(nn.Module):
    """What a block asks of attention: what tokens gather, each channel scaled, and the values that they gathered from.
    Tokens of which nothing is needed may be left out.

    Shapes: (B, T, D), (D,) -> (B, S or T, D), (B, T, F).
    """

    def readers(self) -> list[nn.Parameter]:
        """The matrices that read the stream, which the model initialises."""
        return []

    def forward(self, x_BTD: Tensor, scale_D: Tensor, inputs: BlockInputs) -> tuple[Tensor, Tensor]:
        raise NotImplementedError
