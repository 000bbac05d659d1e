"""Stochastic weight averaging (SWA)."""

from typing import Any

import torch
from torch import Tensor


class SwaAverage:
    """The mean of the weights at every so many steps, once the learning rate is low.

    Source: arXiv 1803.05407; as in openai/parameter-golf, members are taken at steps that `every_steps` divides. With
    no member yet the last weights stand for it.
    """

    def __init__(self, parameters: dict[str, Tensor], every_steps: int, below_lr: float) -> None:
        self.every_steps, self.below_lr = every_steps, below_lr
        self.source = parameters
        self.mean = {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}
        self.members = 0

    @torch.no_grad()
    def update(self, step: int, multiplier: float) -> None:
        """Nothing; the weights after `step` (from 0) are in the mean, if they are one of its members."""
        if multiplier < self.below_lr and (step + 1) % self.every_steps == 0:
            self.members += 1
            torch._foreach_lerp_(list(self.mean.values()), list(self.source.values()), 1.0 / self.members)

    def candidates(self) -> dict[str, dict[str, Tensor]]:
        """The mean of the members by name."""
        return {"swa": self.mean if self.members else {n: p.detach() for n, p in self.source.items()}}

    def state(self) -> dict[str, Any]:
        return {"mean": self.mean, "members": self.members}

    def restore(self, state: dict[str, Any]) -> None:
        self.members = state["members"]
        for name, tensor in self.mean.items():
            tensor.copy_(state["mean"][name])
