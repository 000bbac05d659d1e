"""Learned vectors that tell a shared block which loop it is in."""

import torch
from torch import Tensor, nn

from trainer.model.linear import linear
from trainer.recipe.model import Gpt
from trainer.recipe.topology import LoopedTopology


class LoopInstructions(nn.Module):
    """U_loop P x: a low-rank map of the residual stream for each loop, zero at first. Source: #1535."""

    def __init__(self, model: Gpt) -> None:
        super().__init__()
        topology = model.topology
        assert isinstance(topology, LoopedTopology)
        self.inner = nn.Parameter(torch.empty(topology.instructions, model.width))
        nn.init.orthogonal_(self.inner)
        self.outer = nn.ParameterList(torch.zeros(model.width, topology.instructions) for _ in range(topology.loops))

    def forward(self, x_BTD: Tensor, loop: int) -> Tensor:
        """Return the addend before a loop. Shapes: (B, T, D) -> (B, T, D)."""
        return linear(linear(x_BTD, self.inner), self.outer[loop])
