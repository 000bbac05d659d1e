"""The MLP slot."""

from torch import Tensor, nn


class Mlp(nn.Module):
    """Base class of MLPs: the output with each channel scaled. Shapes: (B, T, D), (D,) -> (B, T, D)."""

    def readers(self) -> list[nn.Parameter]:
        """Return the matrices that read the residual stream; the model initialises them."""
        return []

    def forward(self, x_BTD: Tensor, scale_D: Tensor) -> Tensor:
        raise NotImplementedError
