"""CPU cores and threads that a process may use."""

import os
from collections.abc import Mapping
from math import ceil
from pathlib import Path
from typing import Any

from trainer.recipe.cgroups import ROOT, cgroup_cpus


def allowed_cores(root: Path = ROOT) -> int:
    """Return the number of cores that affinity and the CPU limits of control groups allow."""
    cores = machine_cores()
    return min(cores, cgroup_cores(root) or cores)


def machine_cores() -> int:
    """Return the number of cores that affinity allows."""
    return len(os.sched_getaffinity(0))


def cgroup_cores(root: Path = ROOT) -> int | None:
    """Return the CPU limit of control groups in whole cores, rounded up; None without a limit."""
    cpus = cgroup_cpus(root)
    return None if cpus is None else max(1, ceil(cpus))


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
