"""Telling a process from a later one that got the same pid."""

import os
from pathlib import Path


def process_start(pid: int) -> str | None:
    """Return when a process began, in the kernel's ticks; None if it is dead. Pid and start identify a process."""
    try:
        state, *facts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return None
    # A dead process that nobody has waited for still has its entry.
    return None if state in "ZX" else facts[18]


def pid_namespace() -> str:
    """Return a text, without a dot, that is equal for processes that see each other's pids.

    It tells apart machines, containers and boots: a pid of another one names nobody here.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
        return f"{boot}-{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:  # not Linux
        return os.uname().nodename.replace(".", "-")


def is_process_alive(pid: int, start: str | None) -> bool:
    """Return whether the process that had this pid and start lives. Without /proc any process of that pid counts."""
    if Path("/proc/self/stat").exists():
        found = process_start(pid)
        return found is not None and found == start
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # alive, and somebody else's
        return True
    return True
