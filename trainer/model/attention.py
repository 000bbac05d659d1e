"""The attention slot."""

from torch import Tensor, nn

from trainer.model.visit import Visit


class Attention(nn.Module):
    """What a block asks of attention: what tokens gather, each channel scaled, and the values that they gathered from.
    Those of which the visit asks nothing may be left out.

    Shapes: (B, T, D), (D,) -> (B, S or T, D), (B, T, F).
    """

    def readers(self) -> list[nn.Parameter]:
        """The matrices that read the stream, which the model initialises."""
        return []

    def forward(self, x_BTD: Tensor, scale_D: Tensor, visit: Visit) -> tuple[Tensor, Tensor]:
        raise NotImplementedError
