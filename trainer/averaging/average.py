"""The averaging slot."""

from typing import Protocol

from torch import Tensor

from trainer.recipe.averaging import AveragingRecipe, Ema, NoAveraging


class WeightAverage(Protocol):
    """What training asks of an average."""

    def update(self, step: int) -> None: ...
    def candidate(self) -> dict[str, Tensor]: ...
    def state(self) -> dict[str, Tensor]: ...
    def restore(self, state: dict[str, Tensor]) -> None: ...


def make_average(recipe: AveragingRecipe, parameters: dict[str, Tensor]) -> WeightAverage:
    """The average that a recipe names."""
    match recipe:
        case NoAveraging():
            from trainer.averaging.last import LastWeights

            return LastWeights(parameters)
        case Ema():
            from trainer.averaging.ema import EmaAverage

            return EmaAverage(recipe, parameters)
