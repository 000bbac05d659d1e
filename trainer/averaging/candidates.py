"""Several averages of one run, to choose from after training."""

from typing import Any

from torch import Tensor

from trainer.averaging.ema import EmaAverage
from trainer.averaging.last import LastWeights
from trainer.averaging.swa import SwaAverage
from trainer.recipe.averaging import Candidates


class CandidateAverages:
    """The last weights and each average that the recipe names; the best of them is exported."""

    def __init__(self, parameters: dict[str, Tensor], recipe: Candidates) -> None:
        self.members: list[LastWeights | EmaAverage | SwaAverage] = [LastWeights(parameters)]
        if recipe.ema_decay is not None:
            self.members.append(EmaAverage(parameters, recipe.ema_decay, from_initial=False))
        if recipe.swa_every_steps is not None:
            self.members.append(SwaAverage(parameters, recipe.swa_every_steps, recipe.swa_below_lr))

    def update(self, step: int, multiplier: float) -> None:
        """Update each average with the weights after `step` (from 0)."""
        for member in self.members:
            member.update(step, multiplier)

    def candidates(self) -> dict[str, dict[str, Tensor]]:
        """Return the weights of each candidate by its name."""
        return {name: weights for member in self.members for name, weights in member.candidates().items()}

    def state(self) -> dict[str, Any]:
        return {type(member).__name__: member.state() for member in self.members}

    def restore(self, state: dict[str, Any]) -> None:
        for member in self.members:
            member.restore(state[type(member).__name__])
