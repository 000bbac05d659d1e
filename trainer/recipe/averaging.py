"""Whether the exported weights are an average over training steps."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from trainer.recipe.strict import CHECKED, Count, Flag, Fraction, OpenFraction, RecipeConflict


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
    from_initial: Flag = False
    """Whether that share is kept from the first step on, as the published scripts do: a short run then exports some of
    its random initial weights.
    """


@dataclass(frozen=True, kw_only=True, slots=True)
class Swa:
    """Export the plain mean of the weights at every so many steps near the end (stochastic weight averaging)."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["swa"]
    every_steps: Count = 50
    """Steps between two members of the mean."""
    below_lr: Fraction = 0.2
    """Learning-rate multiplier below which weights are taken."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidates:
    """Export the best of the last weights and of some averages, by their loss on a sample of training text."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["candidates"]
    ema_decay: OpenFraction | None = None
    """Decay of an exponential moving average; null has none."""
    swa_every_steps: Count | None = None
    """Steps between two members of a mean of late weights; null has none."""
    swa_below_lr: Fraction = 0.2
    """Learning-rate multiplier below which weights enter that mean."""
    sequences: Count = 64
    """Training sequences by which they are compared."""

    def __post_init__(self) -> None:
        if self.ema_decay is None and self.swa_every_steps is None:
            raise RecipeConflict("no average to choose from; name ema_decay or swa_every_steps", "ema_decay")


AveragingRecipe = NoAveraging | Ema | Swa | Candidates
