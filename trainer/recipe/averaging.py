"""Whether the exported weights are an average over training steps."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from trainer.recipe.strict import CHECKED, OpenFraction


@dataclass(frozen=True, kw_only=True, slots=True)
class NoAveraging:
    """Export the last weights."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["none"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Ema:
    """Export an exponential moving average (EMA) of the weights."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["ema"]
    decay: OpenFraction = field(default=0.997)
    """Share of the old average kept at each step, once 1 / (1 - decay) steps have passed."""


AveragingRecipe = NoAveraging | Ema
