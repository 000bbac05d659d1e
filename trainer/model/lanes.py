"""Two streams through the late blocks."""

import torch
from torch import Tensor, nn


class Lanes(nn.Module):
    """How much of each lane a block keeps, and how much of attention and of the MLP enters each (#1204).

    Source: openai/parameter-golf #1204; kept begins at 1.1, every share at 1.
    """

    def __init__(self) -> None:
        super().__init__()
        self.kept = nn.Parameter(torch.full((2,), 1.1))
        self.shares = nn.Parameter(torch.ones(2, 2))

    def forward(self, a_BTD: Tensor, b_BTD: Tensor, attended_BTD: Tensor, mlp_BTD: Tensor) -> tuple[Tensor, Tensor]:
        """Both lanes, each kept in part, plus its shares of what attention and the MLP say."""
        first = self.kept[0] * a_BTD + self.shares[0, 0] * attended_BTD + self.shares[0, 1] * mlp_BTD
        second = self.kept[1] * b_BTD + self.shares[1, 0] * attended_BTD + self.shares[1, 1] * mlp_BTD
        return first, second
