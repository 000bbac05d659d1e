"""Averaging of weights over training steps."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from trainer.recipe.strict import CHECKED, Count, Flag, Fraction, OpenFraction, RecipeConflict


@dataclass(frozen=True, kw_only=True, slots=True)
class NoAveraging:
    """Export the weights of the last step."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["none"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Ema:
    """Export an exponential moving average (EMA) of the weights."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["ema"]
    decay: OpenFraction = field(default=0.997)
    """Share of the average kept at each step. During the first 1 / (1 - decay) steps it is the plain mean instead."""
    from_initial: Flag = False
    """Whether `decay` applies from the first step on, as in published scripts. The average of a short run then contains
    some of the random initial weights.
    """


@dataclass(frozen=True, kw_only=True, slots=True)
class Swa:
    """Export the mean of snapshots of the weights near the end of training (stochastic weight averaging, SWA)."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["swa"]
    every_steps: Count = 50
    """Steps between two snapshots."""
    below_lr: Fraction = 0.2
    """Learning-rate multiplier below which snapshots are taken."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidates:
    """Export the best of the last weights and one or two averages, judged by the loss on a sample of training text."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["candidates"]
    ema_decay: OpenFraction | None = None
    """Decay of an exponential moving average (as in `ema`); null leaves it out."""
    swa_every_steps: Count | None = None
    """Steps between two snapshots of a late mean (as in `swa`); null leaves it out."""
    swa_below_lr: Fraction = 0.2
    """Learning-rate multiplier below which snapshots are taken."""
    sequences: Count = 64
    """Number of training sequences on which the candidates are compared."""

    def __post_init__(self) -> None:
        if self.ema_decay is None and self.swa_every_steps is None:
            raise RecipeConflict("there is no average to choose from; set ema_decay or swa_every_steps", "ema_decay")


AveragingRecipe = NoAveraging | Ema | Swa | Candidates
