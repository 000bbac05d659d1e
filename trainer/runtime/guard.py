"""The stop rule of a run: its speed compared with the plan, its curve with that of another run.

Plan and rule are in run.json. The trainer itself ends the run, so the rule holds on every launcher.
"""

import time
from collections import deque
from typing import Any, NoReturn

from trainer.runtime.failure import StoppedByRule
from trainer.runtime.journal import Journal, RunJournal

# The first steps fill caches and compile; the plan is about the steps after them.
SETTLING_STEPS, MEASURED_STEPS = 10, 50
# Losses of single steps are noisy, so this many logged ones are averaged on both sides.
AVERAGED_ROWS = 10


class Guard:
    """The plan and the stop rule of one run, with the speed and the losses so far."""

    def __init__(self, run: dict[str, Any], journal: Journal) -> None:
        self.plan: dict[str, Any] = run.get("plan") or {}
        self.rule: dict[str, Any] = run.get("stop") or {}
        self.journal = journal
        self.steps = 0
        self.settled: tuple[int, float] | None = None
        self.step_seconds: float | None = None
        self.rows: deque[tuple[int, float]] = deque(maxlen=AVERAGED_ROWS)

    def as_json(self) -> dict[str, Any]:
        """Return the seconds per step as planned, and as first measured."""
        return {"planned": self.plan.get("step_seconds"), "first": self.step_seconds}

    def after_step(self) -> None:
        """Count a step, and measure the speed of the first ones.

        Raises:
            StoppedByRule: they were too slow.
        """
        self.steps += 1
        if self.steps <= MEASURED_STEPS:
            self.check_speed(self.steps, time.monotonic())

    def check_speed(self, step: int, seconds: float) -> None:
        """Measure the speed of the first steps, from the seconds at some of them.

        Raises:
            StoppedByRule: they were too slow.
        """
        if self.settled is None:
            self.settled = (step, seconds) if step >= SETTLING_STEPS else None
        elif self.step_seconds is None and step >= max(MEASURED_STEPS, self.settled[0] + 1):
            self.step_seconds = (seconds - self.settled[1]) / (step - self.settled[0])
            self.compare_with_plan(self.step_seconds)

    def compare_with_plan(self, found: float) -> None:
        """Log the measured and the planned seconds per step.

        Raises:
            StoppedByRule: the rule does not allow their ratio.
        """
        planned, most = self.plan.get("step_seconds"), self.rule.get("slower_than")
        if planned is None:
            return
        words = f"steps {SETTLING_STEPS + 1} to {MEASURED_STEPS} took {1000 * found:.1f} ms each instead of"
        words += f" {1000 * planned:.1f} ms ({self.plan['basis']})"
        self.journal.log(words)
        if most is not None and found > most * planned:
            self.stop(f"stopped by stop.slower_than: {words}; at most {most} times that is allowed")

    def check_curve(self, tokens: int, bpb: float) -> None:
        """Compare the last logged losses with those of the other run at the same tokens.

        Raises:
            StoppedByRule: they are worse than the rule allows.
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
            self.stop(
                f"stopped by stop.worse_than: train_bpb is {mine:.4f} up to token {tokens:,}, that of {other['run']} "
                f"was {theirs:.4f}; at most {other['by_bpb']} more are allowed"
            )

    def stop(self, message: str) -> NoReturn:
        """End the run, with a reason in state.json that programs can tell from a failure.

        Raises:
            StoppedByRule: always.
        """
        self.journal.report(reason="stop_rule")
        raise StoppedByRule(message)


def make_guard(run: dict[str, Any], journal: Journal) -> Guard | None:
    """Return the guard of a run that has a plan or a stop rule. Only rank 0 watches: all ranks stop when it does."""
    is_guarded = isinstance(journal, RunJournal) and (run.get("plan") or run.get("stop"))
    return Guard(run, journal) if is_guarded else None
