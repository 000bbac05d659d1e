"""Seconds by named phase, carried over interruptions, and as all processes of a run take them to be."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, SupportsFloat

Phase = Literal[
    "prepare", "compile", "train", "calibrate", "quantize", "encode", "decode", "prequant", "roundtrip", "evaluate",
    "references",
]  # fmt: skip


class PhaseClock:
    """How long each phase has taken so far, over all attempts at this run.

    Monotonic time: a machine whose clock is set while it trains changes nothing.
    """

    def __init__(self) -> None:
        self.finished: dict[str, float] = {}
        self.running: Phase | None = None
        self.started = 0.0

    @contextmanager
    def phase(self, name: Phase) -> Iterator[None]:
        """A context whose duration is added to `name`. Phases do not nest."""
        assert self.running is None, f"{name} inside {self.running}"
        self.running, self.started = name, time.monotonic()
        try:
            yield
        finally:
            self.finished[name] = self.seconds(name)
            self.running = None

    def seconds(self, name: Phase) -> float:
        """Seconds spent in a phase, the current moment included."""
        current = time.monotonic() - self.started if self.running == name else 0.0
        return self.finished.get(name, 0.0) + current

    @property
    def running_seconds(self) -> float:
        """Seconds of the phase that is running, or none."""
        return 0.0 if self.running is None else self.seconds(self.running)

    def state(self) -> dict[str, float]:
        """Seconds by phase, for a checkpoint."""
        totals = dict(self.finished)
        if self.running is not None:
            totals[self.running] = self.seconds(self.running)
        return totals

    def restore(self, state: dict[str, float]) -> None:
        """Nothing; the phases have taken what they had in `state`, and the present one what it has taken since."""
        self.finished = dict(state)


# What may be spent between two looks at the clock, as a share of the budget, and in steps; and from where on each step
# looks.
MAX_UNREAD_SHARE, MAX_UNREAD_STEPS, READ_EVERY_STEP_FROM = 0.002, 10, 0.98


class RankZeroClock:
    """Rank 0's seconds as every process has them. To read them is to wait for the device, and so that is done now
    and then; in between they are what they were.
    """

    def __init__(self, budget_seconds: float) -> None:
        self.budget_seconds = budget_seconds
        self.read_at, self.seconds, self.next_read = 0, 0.0, 0

    def seconds_after(self, step: int, rank_zero: SupportsFloat) -> float:
        """The seconds that all processes decide by after a step; `rank_zero` are rank 0's own."""
        if step >= self.next_read:
            before, self.seconds = self.seconds, float(rank_zero)
            a_step = (self.seconds - before) / max(1, step - self.read_at)
            unseen = int(MAX_UNREAD_SHARE * self.budget_seconds / a_step) if a_step > 0 and before else 1
            is_late = self.seconds >= READ_EVERY_STEP_FROM * self.budget_seconds
            self.read_at, self.next_read = step, step + (1 if is_late else max(1, min(MAX_UNREAD_STEPS, unseen)))
        return self.seconds
