"""Pace: the steps that a script had done after each share of its time.

Published scripts give a schedule in shares of seconds. Their steps become slower when layers begin to recur or
sequences to grow, so shares of steps are other numbers.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from trainer.dialects.logged import LoggedRun

# Fewer times do not show where the steps became slower.
FEWEST_TIMES = 5
DECIMALS = 4


@dataclass(frozen=True, slots=True)
class Pace:
    """Steps and seconds of a run, both increasing, from 0 to its end."""

    log: str
    """The log that gives them."""
    steps: Sequence[int]
    seconds: Sequence[float]

    @classmethod
    def of_run(cls, run: LoggedRun) -> Self | None:
        """Return the pace of a run; None if its log has too few times."""
        steps, seconds = [0], [0.0]
        end = () if run.step is None or run.train_seconds is None else ((run.step, run.train_seconds),)
        for step, time in (*run.times, *end):
            if step > steps[-1] and time > seconds[-1]:
                steps.append(step)
                seconds.append(time)
        return cls(run.file, steps, seconds) if len(steps) > FEWEST_TIMES else None

    @property
    def last_step(self) -> int:
        """Steps of the whole run."""
        return self.steps[-1]

    @property
    def last_seconds(self) -> float:
        """Seconds of the whole run."""
        return self.seconds[-1]

    def share_of_steps(self, share: float) -> float:
        """Return the share of the steps that were done after a share of the seconds."""
        wanted = share * self.seconds[-1]
        after = max(1, min(bisect_left(self.seconds, wanted), len(self.seconds) - 1))
        (first, last), (begin, end) = self.steps[after - 1 : after + 1], self.seconds[after - 1 : after + 1]
        step = first + (last - first) * (wanted - begin) / (end - begin)
        return round(step / self.last_step, DECIMALS)
