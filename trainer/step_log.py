"""What a run writes about its steps."""

import time

from trainer.evaluation.ledger import bits_per_byte
from trainer.recipe.recipe import Recipe
from trainer.runtime.guard import Guard
from trainer.runtime.journal import Journal

LOGGED_STEPS = 100


class LogSchedule:
    """Which steps to log: about LOGGED_STEPS of a run."""

    def __init__(self, planned_steps: int | None) -> None:
        self.planned_steps = planned_steps
        self.next_progress = 0.0

    def is_due(self, step: int, progress: float) -> bool:
        """Return whether to log this step: by its number, or by progress where the number of steps is unknown."""
        planned = self.planned_steps
        if planned is not None:
            return step % max(1, planned // LOGGED_STEPS) == 0 or step == planned
        is_due = progress >= self.next_progress
        if is_due:
            self.next_progress = progress + 1 / LOGGED_STEPS
        return is_due


class StepLog:
    """The logged steps of a run, each a row of metrics, a line of the log and a new state."""

    def __init__(
        self, recipe: Recipe, journal: Journal, guard: Guard | None, bytes_per_token: float, step: int
    ) -> None:
        self.recipe, self.journal, self.guard, self.bytes_per_token = recipe, journal, guard, bytes_per_token
        self.first_step, self.started = step, time.monotonic()
        self.schedule = LogSchedule(recipe.planned_steps)

    def write(self, step: int, progress: float, seconds: float, loss: float, multiplier: float) -> None:
        """Log a step.

        Raises:
            StoppedByRule: training lags behind the run that the stop rule compares it with.
        """
        planned, tokens = self.recipe.planned_steps, step * self.recipe.schedule.batch_tokens
        step_seconds = (time.monotonic() - self.started) / (step - self.first_step)
        train = {"train_loss": loss, "train_bpb": bits_per_byte(loss, self.bytes_per_token)}
        self.journal.record(
            {"step": step, "elapsed_seconds": round(seconds, 3), "tokens": tokens, "lr_multiplier": multiplier, **train}
        )
        if self.guard:
            self.guard.check_curve(tokens, train["train_bpb"])
        losses = " ".join(f"{name} {value:.4f}" for name, value in train.items())
        self.journal.log(
            f"step {step}/{planned or '?'} {losses} lr x{multiplier:.3f} {1000 * step_seconds:.0f} ms/step"
        )
        self.journal.pulse(
            phase="train", step=step, total=planned, progress=progress, step_seconds=step_seconds,
            elapsed_seconds=seconds, **train,
        )  # fmt: skip
