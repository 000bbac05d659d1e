"""CPU cores and threads that a process may use."""

import os
from collections.abc import Mapping
from math import ceil
from pathlib import Path
from typing import Any


def allowed_cores() -> int:
    """Return the number of cores that affinity and the cgroup's CPU limit allow."""
    cores = len(os.sched_getaffinity(0))
    return min(cores, cgroup_cores() or cores)


def cgroup_cores() -> int | None:
    """Return the CPU limit of this process's cgroup (version 2) in whole cores, rounded up; None without a limit."""
    try:
        group = Path("/proc/self/cgroup").read_text().rpartition("::")[2].strip()
        quota, period = Path(f"/sys/fs/cgroup{group}/cpu.max").read_text().split()
        return max(1, ceil(int(quota) / int(period)))
    except (OSError, ValueError):  # no such file, or no limit: "max"
        return None


def thread_count(run: dict[str, Any], processes: int) -> int:
    """Return the number of threads of each process of a recipe's run, given its run.json.

    Bits depend on it, so a run that is resumed keeps the number it began with. A new run takes launch.threads, else
    OMP_NUM_THREADS, else its share of the allowed cores.
    """
    return asked_threads(run, os.environ) or max(1, allowed_cores() // processes)


def script_thread_count(run: dict[str, Any], processes: int, variables: Mapping[str, str]) -> int | None:
    """Return the number of threads of each process of a script's run, given the variables that its spec sets.

    As under torchrun, each of several processes has one thread unless something else is asked for. A single process
    gets no number and follows its own default, except where a cgroup, which libraries do not heed, allows fewer cores.
    """
    default = 1 if processes > 1 else allowed_cores() if cgroup_cores() else None
    return asked_threads({}, variables) or asked_threads(run, os.environ) or default


def asked_threads(run: dict[str, Any], variables: Mapping[str, str]) -> int:
    """Return the number of threads that run.json or OMP_NUM_THREADS asks for; 0 if neither does."""
    variable = variables.get("OMP_NUM_THREADS", "").partition(",")[0]
    pinned = (run.get("environment") or {}).get("threads") or run.get("threads")
    return pinned or (int(variable) if variable.isdigit() else 0)
