"""The MLP slot."""

from torch import Tensor, nn


class Mlp(nn.Module):
    """What a block asks of an MLP: its output, each channel scaled. Shapes: (B, T, D), (D,) -> (B, T, D)."""

    def readers(self) -> list[nn.Parameter]:
        """The matrices that read the stream, which the model initialises."""
        return []

    def forward(self, x_BTD: Tensor, scale_D: Tensor) -> Tensor:
        raise NotImplementedError
