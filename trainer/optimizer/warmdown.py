"""The learning rate over a run."""

from trainer.recipe.schedule import Warmdown


def warmdown_multiplier(schedule: Warmdown, progress: float) -> float:
    """Share of the learning rate at `progress` (0 at the start of the budget, 1 at its end)."""
    if not schedule.fraction:
        return 1.0
    remaining = min(1.0, max(0.0, 1.0 - progress) / schedule.fraction)
    return schedule.floor + (1.0 - schedule.floor) * remaining
