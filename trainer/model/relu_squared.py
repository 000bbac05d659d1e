"""An MLP with relu(x)^2."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.model.linear import linear
from trainer.model.mlp import Mlp


class ReluSquaredMlp(Mlp):
    """down(relu(up(x))^2), without biases. Source: Primer, arXiv 2109.08668."""

    def __init__(self, width: int, hidden_width: int) -> None:
        super().__init__()
        self.up = nn.Parameter(torch.empty(hidden_width, width))
        self.down = nn.Parameter(torch.zeros(width, hidden_width))

    def readers(self) -> list[nn.Parameter]:
        return [self.up]

    def forward(self, x_BTD: Tensor, scale_D: Tensor) -> Tensor:
        return linear(F.relu(linear(x_BTD, self.up)).square(), self.down, scale_D)
