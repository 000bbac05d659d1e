"""Stochastic weight averaging (SWA)."""

from typing import Any

import torch
from torch import Tensor


class SwaAverage:
    """The mean of the weights after every `every_steps` steps while the learning-rate multiplier is below `below_lr`.

    Before the first such step, the last weights are its candidate.
    Source: arXiv 1803.05407; as in openai/parameter-golf, the steps taken are those that `every_steps` divides.
    """

    def __init__(self, parameters: dict[str, Tensor], every_steps: int, below_lr: float) -> None:
        self.every_steps, self.below_lr = every_steps, below_lr
        self.source = parameters
        self.mean = {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}
        self.members = 0

    @torch.no_grad()
    def update(self, step: int, multiplier: float) -> None:
        """Add the weights after `step` (from 0) to the mean if the step is one of those that count."""
        if multiplier < self.below_lr and (step + 1) % self.every_steps == 0:
            self.members += 1
            torch._foreach_lerp_(list(self.mean.values()), list(self.source.values()), 1.0 / self.members)

    def candidates(self) -> dict[str, dict[str, Tensor]]:
        """Return the mean by tensor name, or the last weights if no step has counted yet."""
        return {"swa": self.mean if self.members else {n: p.detach() for n, p in self.source.items()}}

    def state(self) -> dict[str, Any]:
        return {"mean": self.mean, "members": self.members}

    def restore(self, state: dict[str, Any]) -> None:
        self.members = state["members"]
        for name, tensor in self.mean.items():
            tensor.copy_(state["mean"][name])
