"""Seconds of each phase of a run, across restarts, and rank 0's clock for all ranks."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, SupportsFloat

Phase = Literal[
    "prepare", "compile", "train", "calibrate", "quantize", "encode", "decode", "prequant", "roundtrip", "evaluate",
    "references",
]  # fmt: skip


class PhaseClock:
    """How long each phase has taken so far, including the time before restarts.

    Time is monotonic: setting the machine's clock during a run changes nothing.
    """

    def __init__(self) -> None:
        self.finished: dict[str, float] = {}
        self.running: Phase | None = None
        self.started = 0.0

    @contextmanager
    def phase(self, name: Phase) -> Iterator[None]:
        """Return a context whose duration is added to `name`. Phases do not nest."""
        assert self.running is None, f"{name} inside {self.running}"
        self.running, self.started = name, time.monotonic()
        try:
            yield
        finally:
            self.finished[name] = self.seconds(name)
            self.running = None

    def seconds(self, name: Phase) -> float:
        """Return the seconds spent in a phase up to now."""
        current = time.monotonic() - self.started if self.running == name else 0.0
        return self.finished.get(name, 0.0) + current

    @property
    def running_seconds(self) -> float:
        """Seconds of the phase that is running, or 0."""
        return 0.0 if self.running is None else self.seconds(self.running)

    def state(self) -> dict[str, float]:
        """Return the seconds of each phase, for a checkpoint."""
        totals = dict(self.finished)
        if self.running is not None:
            totals[self.running] = self.seconds(self.running)
        return totals

    def restore(self, state: dict[str, float]) -> None:
        """Set the seconds of finished phases to those in `state`."""
        self.finished = dict(state)


# The longest time between two reads of the clock, as a share of the budget and in steps; and the share of the budget
# from which every step reads it.
MAX_UNREAD_SHARE, MAX_UNREAD_STEPS, READ_EVERY_STEP_FROM = 0.002, 10, 0.98


class RankZeroClock:
    """Rank 0's seconds, as all ranks know them.

    Reading them synchronizes the device, so they are read only now and then, by all ranks at the same steps.
    """

    def __init__(self, budget_seconds: float) -> None:
        self.budget_seconds = budget_seconds
        self.read_at, self.seconds, self.next_read = 0, 0.0, 0

    def seconds_after(self, step: int, rank_zero: SupportsFloat) -> float:
        """Return the seconds that all ranks use after a step: those of `rank_zero`, if this step reads them."""
        if step >= self.next_read:
            before, self.seconds = self.seconds, float(rank_zero)
            a_step = (self.seconds - before) / max(1, step - self.read_at)
            unseen = int(MAX_UNREAD_SHARE * self.budget_seconds / a_step) if a_step > 0 and before else 1
            is_late = self.seconds >= READ_EVERY_STEP_FROM * self.budget_seconds
            self.read_at, self.next_read = step, step + (1 if is_late else max(1, min(MAX_UNREAD_STEPS, unseen)))
        return self.seconds
