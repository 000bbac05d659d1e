"""CPU cores and threads that a process may use."""

import os
from math import ceil
from pathlib import Path
from typing import Any


def allowed_cores() -> int:
    """Return the number of cores that affinity and the cgroup's CPU limit allow."""
    cores = len(os.sched_getaffinity(0))
    try:
        group = Path("/proc/self/cgroup").read_text().rpartition("::")[2].strip()
        quota, period = Path(f"/sys/fs/cgroup{group}/cpu.max").read_text().split()
        return max(1, min(cores, ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # no cgroup, or no limit: "max"
        return cores


def thread_count(run: dict[str, Any], processes: int) -> int:
    """Return the number of threads of each process of a run, given its run.json.

    Bits depend on it, so a run that is resumed keeps the number it began with. A new run takes launch.threads, else
    OMP_NUM_THREADS, else its share of the allowed cores.
    """
    pinned = (run.get("environment") or {}).get("threads") or run.get("threads")
    variable = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return pinned or (int(variable) if variable.isdigit() else 0) or max(1, allowed_cores() // processes)
