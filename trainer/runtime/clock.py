"""Seconds by named phase, carried over interruptions."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

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
