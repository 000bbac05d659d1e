"""Two residual streams (lanes) through the late blocks."""

import torch
from torch import Tensor, nn


class Lanes(nn.Module):
    """Learned factors of a block: of each lane, and of attention and the MLP in each lane.

    Source: openai/parameter-golf #1204; the lanes' factors start at 1.1, all others at 1.
    """

    def __init__(self) -> None:
        super().__init__()
        self.kept = nn.Parameter(torch.full((2,), 1.1))
        self.shares = nn.Parameter(torch.ones(2, 2))

    def forward(self, a_BTD: Tensor, b_BTD: Tensor, attended_BTD: Tensor, mlp_BTD: Tensor) -> tuple[Tensor, Tensor]:
        """Return both lanes: each one scaled, plus its shares of the attention and MLP outputs."""
        first = self.kept[0] * a_BTD + self.shares[0, 0] * attended_BTD + self.shares[0, 1] * mlp_BTD
        second = self.kept[1] * b_BTD + self.shares[1, 0] * attended_BTD + self.shares[1, 1] * mlp_BTD
        return first, second
