"""Whether a script still does something: it prints progress, or its processes use a core."""

import os
import time
from collections.abc import Sequence
from pathlib import Path

from trainer.script.subreaper import living_children

# A script that has printed its result and then reports no progress and computes nothing for so long will not end.
IDLE_SECONDS = 60.0
# A script that computes may report nothing for as long as the contest allows for an evaluation (600 s).
SILENT_SECONDS = 900.0
# A script that was active so recently when it is stopped may have had more to say.
RECENT_SECONDS = 10.0
SAMPLE_SECONDS = 5.0
# Threads that only wait and poll use less of a core.
QUIET_CORES = 0.05


class Activity:
    """The time since some processes, with their children, last reported progress or computed."""

    def __init__(self, pids: Sequence[int]) -> None:
        self.pids = pids
        self.reported_at = self.active_at = self.sampled_at = time.monotonic()
        self.cpu_seconds = cpu_seconds_of(pids)

    def note_progress(self) -> None:
        """Record that a line reported progress."""
        self.reported_at = self.active_at = time.monotonic()

    def idle_periods(self) -> int:
        """Return for how many times IDLE_SECONDS the processes have been idle, or SILENT_SECONDS without progress."""
        now = time.monotonic()
        if now - self.sampled_at >= SAMPLE_SECONDS:
            self.sample(now)
        return int(max((now - self.active_at) / IDLE_SECONDS, (now - self.reported_at) / SILENT_SECONDS))

    def sample(self, now: float) -> None:
        """Look whether the processes have computed since the last look; where this is not known, they may have."""
        spent = cpu_seconds_of(self.pids)
        if (
            spent is None
            or self.cpu_seconds is None
            or spent - self.cpu_seconds > QUIET_CORES * (now - self.sampled_at)
        ):
            self.active_at = now
        self.cpu_seconds, self.sampled_at = spent, now

    @property
    def is_recent(self) -> bool:
        """Return whether the processes have just reported progress or computed."""
        return time.monotonic() - self.active_at < RECENT_SECONDS


def cpu_seconds_of(pids: Sequence[int]) -> float | None:
    """Return the CPU seconds of processes, their living descendants and the dead ones they waited for.

    None without /proc.
    """
    if not Path("/proc/self/stat").exists():
        return None
    spent, waiting = 0, list(pids)
    while waiting:
        pid = waiting.pop()
        try:
            facts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        spent += sum(map(int, facts[11:15]))
        waiting += living_children(pid)
    return spent / os.sysconf("SC_CLK_TCK")
