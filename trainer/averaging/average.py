"""The averaging slot: which weights a run exports."""

from typing import Any, Protocol

from torch import Tensor

from trainer.recipe.averaging import AveragingRecipe, Candidates, Ema, NoAveraging, Swa

Weights = dict[str, Tensor]


class WeightAverage(Protocol):
    """An average of the weights over training steps, as training uses it."""

    def update(self, step: int, multiplier: float) -> None: ...
    def candidates(self) -> dict[str, Weights]: ...
    def state(self) -> dict[str, Any]: ...
    def restore(self, state: dict[str, Any]) -> None: ...


def make_average(recipe: AveragingRecipe, parameters: Weights) -> WeightAverage:
    """Return the average that a recipe names."""
    match recipe:
        case NoAveraging():
            from trainer.averaging.last import LastWeights

            return LastWeights(parameters)
        case Ema():
            from trainer.averaging.ema import EmaAverage

            return EmaAverage(parameters, recipe.decay, recipe.from_initial)
        case Swa():
            from trainer.averaging.swa import SwaAverage

            return SwaAverage(parameters, recipe.every_steps, recipe.below_lr)
        case Candidates():
            from trainer.averaging.candidates import CandidateAverages

            return CandidateAverages(parameters, recipe)
