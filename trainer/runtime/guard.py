"""Whether a run is worth going on with: its speed against the plan, its curve against that of another run.

Both come with the run, in run.json; the trainer itself ends a hopeless run, so that it ends wherever it is and whoever
looks on.
"""

import time
from collections import deque
from typing import Any

from trainer.runtime.failure import StoppedByRule
from trainer.runtime.journal import Journal

# The first steps pay for caches and compilation; the plan knows only of those after them.
SETTLING_STEPS, MEASURED_STEPS = 10, 50
# Losses of single steps are noisy: so many logged ones are averaged on both sides.
AVERAGED_ROWS = 10


class Guard:
    """The rule of one run, and what it has seen so far."""

    def __init__(self, run: dict[str, Any], journal: Journal) -> None:
        self.plan: dict[str, Any] = run.get("plan") or {}
        self.rule: dict[str, Any] = run.get("stop") or {}
        self.journal = journal
        self.steps = 0
        self.settled: tuple[int, float] | None = None
        self.step_seconds: float | None = None
        self.rows: deque[tuple[int, float]] = deque(maxlen=AVERAGED_ROWS)

    def as_json(self) -> dict[str, Any]:
        """Seconds a step as planned, and as they were at first."""
        return {"planned": self.plan.get("step_seconds"), "first": self.step_seconds}

    def after_step(self) -> None:
        """Nothing; a step more has been taken.

        Raises: StoppedByRule when the first steps were too far from the plan.
        """
        self.steps += 1
        if self.steps <= MEASURED_STEPS:
            self.check_speed(self.steps, time.monotonic())

    def check_speed(self, step: int, seconds: float) -> None:
        """Nothing; the speed of the first steps is known once they are over. Not every step has to be told of.

        Raises: StoppedByRule when it is too far from the plan.
        """
        if self.settled is None:
            self.settled = (step, seconds) if step >= SETTLING_STEPS else None
        elif self.step_seconds is None and step >= max(MEASURED_STEPS, self.settled[0] + 1):
            self.step_seconds = (seconds - self.settled[1]) / (step - self.settled[0])
            self.compare_speed(self.step_seconds)

    def compare_speed(self, found: float) -> None:
        """Nothing; the log says what came of the plan."""
        planned, most = self.plan.get("step_seconds"), self.rule.get("slower_than")
        if planned is None:
            return
        words = f"steps {SETTLING_STEPS + 1} to {MEASURED_STEPS} took {1000 * found:.1f} ms each, planned were"
        words += f" {1000 * planned:.1f} ms ({self.plan['basis']})"
        self.journal.log(words)
        if most is not None and found > most * planned:
            raise StoppedByRule(f"stopped by stop.slower_than: {words}, and {most} times that is allowed")

    def check_curve(self, tokens: int, bpb: float) -> None:
        """Nothing, while training does not lag behind the other run at the same tokens.

        Raises: StoppedByRule when it does.
        """
        self.rows.append((tokens, bpb))
        other = self.rule.get("worse_than")
        if other is None or len(self.rows) < AVERAGED_ROWS:
            return
        there = [value for at, value in other["curve"] if self.rows[0][0] <= at <= tokens]
        if len(there) < AVERAGED_ROWS // 2:
            return
        mine, theirs = sum(value for _, value in self.rows) / AVERAGED_ROWS, sum(there) / len(there)
        if mine > theirs + other["by_bpb"]:
            raise StoppedByRule(
                f"stopped by stop.worse_than: {mine:.4f} bpb in training up to token {tokens:,}, where "
                f"{other['run']} had {theirs:.4f}; {other['by_bpb']} more are allowed"
            )


def make_guard(run: dict[str, Any], journal: Journal) -> Guard | None:
    """The guard of a run that came with a plan or a rule. A program on its own has neither."""
    return Guard(run, journal) if run.get("plan") or run.get("stop") else None
