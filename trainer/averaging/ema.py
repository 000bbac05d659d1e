"""Exponential moving average (EMA) of weights."""

import torch
from torch import Tensor


class EmaAverage:
    """An exponential moving average: after each step it moves a share 1 - decay towards the weights.

    During the first 1 / (1 - decay) steps the share is 1 / (step + 1) instead, which makes it the plain mean of all
    weights so far. A fixed share, as `from_initial` asks for, leaves decay^steps of the random initial weights in the
    average: half of it after 230 steps at 0.997.
    """

    def __init__(self, parameters: dict[str, Tensor], decay: float, from_initial: bool) -> None:
        self.decay, self.from_initial = decay, from_initial
        self.source = parameters
        self.average = {name: parameter.detach().clone() for name, parameter in parameters.items()}

    @torch.no_grad()
    def update(self, step: int, multiplier: float) -> None:
        """Move the average towards the weights after `step` (from 0)."""
        share = 1.0 - self.decay if self.from_initial else max(1.0 - self.decay, 1.0 / (step + 1))
        torch._foreach_lerp_(list(self.average.values()), list(self.source.values()), share)

    def candidates(self) -> dict[str, dict[str, Tensor]]:
        """Return the averaged weights by tensor name."""
        return {"ema": self.average}

    def state(self) -> dict[str, Tensor]:
        return self.average

    def restore(self, state: dict[str, Tensor]) -> None:
        for name, tensor in self.average.items():
            tensor.copy_(state[name])
