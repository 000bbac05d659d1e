"""An MLP whose hidden units are gated."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.model.linear import linear
from trainer.model.mlp import Mlp


class SwiGluMlp(Mlp):
    """down(silu(gate(x)) up(x)), without biases. Source: arXiv 2002.05202."""

    def __init__(self, width: int, hidden_width: int) -> None:
        super().__init__()
        self.gate = nn.Parameter(torch.empty(hidden_width, width))
        self.up = nn.Parameter(torch.empty(hidden_width, width))
        self.down = nn.Parameter(torch.zeros(width, hidden_width))

    def readers(self) -> list[nn.Parameter]:
        return [self.gate, self.up]

    def forward(self, x_BTD: Tensor, scale_D: Tensor) -> Tensor:
        return linear(F.silu(linear(x_BTD, self.gate)) * linear(x_BTD, self.up), self.down, scale_D)
