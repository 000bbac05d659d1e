"""The training budget of a run; its cost in dollars is not part of the recipe."""

from dataclasses import dataclass
from typing import ClassVar

from trainer.recipe.schedule import Clock
from trainer.recipe.strict import CHECKED, NonNegative


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """The training budget. Steps and tokens are reproducible; seconds depend on the machine."""

    __pydantic_config__: ClassVar = CHECKED
    clock: Clock
    """Unit of `train`."""
    train: NonNegative
    """Length of training in steps, tokens or seconds."""
    reserve_seconds: NonNegative = 0.0
    """Seconds of `train` kept for work that counts as training, such as calibration; only with `clock: seconds`."""
