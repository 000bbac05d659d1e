"""Exponential moving average (EMA) of weights."""

import torch
from torch import Tensor

from trainer.recipe.averaging import Ema


class EmaAverage:
    """An average that forgets: after each step it moves a share 1 - decay towards the weights.

    Early on it moves faster, as 1 / (steps + 1), which makes it the plain mean of all weights so far; a fixed decay
    would keep a share decay^steps of the random initial weights, half of it in a run of 230 steps at 0.997.
    """

    def __init__(self, recipe: Ema, parameters: dict[str, Tensor]) -> None:
        self.decay = recipe.decay
        self.source = parameters
        self.average = {name: parameter.detach().clone() for name, parameter in parameters.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Nothing; the weights after `step` (from 0) are in the average."""
        share = max(1.0 - self.decay, 1.0 / (step + 1))
        torch._foreach_lerp_(list(self.average.values()), list(self.source.values()), share)

    def candidate(self) -> dict[str, Tensor]:
        """The averaged weights by name."""
        return self.average

    def state(self) -> dict[str, Tensor]:
        return self.average

    def restore(self, state: dict[str, Tensor]) -> None:
        for name, tensor in self.average.items():
            tensor.copy_(state[name])
