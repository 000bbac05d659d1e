"""How long a run may train and be scored. Never how much it may cost."""

from dataclasses import dataclass
from typing import ClassVar

from trainer.recipe.schedule import Clock
from trainer.recipe.strict import CHECKED, NonNegative


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """Limits of a run. Steps and tokens are reproducible; seconds depend on the machine."""

    __pydantic_config__: ClassVar = CHECKED
    clock: Clock
    """The unit of `train`."""
    train: NonNegative
    """Steps, tokens or seconds of training."""
    reserve_seconds: NonNegative = 0.0
    """Seconds held back from `train` for work that also counts, such as calibration; only under clock: seconds."""
