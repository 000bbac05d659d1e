"""The MLP of a block."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.recipe.model import Gpt


class ReluSquaredMlp(nn.Module):
    """down(relu(up(x))^2), without biases. Source: Primer, arXiv 2109.08668."""

    def __init__(self, model: Gpt) -> None:
        super().__init__()
        self.up = nn.Parameter(torch.empty(model.hidden_width, model.width))
        self.down = nn.Parameter(torch.zeros(model.width, model.hidden_width))

    def forward(self, x_BTD: Tensor, scale_D: Tensor) -> Tensor:
        """The MLP's output, each channel scaled, as in attention. Shapes: (B, T, D) -> (B, T, D)."""
        return F.linear(F.relu(F.linear(x_BTD, self.up)).square(), scale_D[:, None] * self.down)
