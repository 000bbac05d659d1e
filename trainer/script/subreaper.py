"""`python subreaper.py PARENT COMMAND...`: run a command, and kill all of its processes when it or the parent ends.

As a subreaper this process adopts the orphans of the command, whatever their session, so it can kill them all. The
kernel signals it when its own parent ends, even if that was killed.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
# The signal that kills all processes at once: from the kernel when the parent ends, or from the supervisor.
END_ALL = signal.SIGHUP
TRIES, PAUSE_SECONDS = 100, 0.02


def run_as_subreaper(parent: int, command: list[str]) -> NoReturn:
    """Run the command, and exit as it did: with its exit code, or by the signal that killed it."""
    signal.signal(END_ALL, end_all)
    signal.signal(signal.SIGTERM, lambda *_: None)  # the command gets it as well, and may take its time
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
        libc.prctl(PR_SET_PDEATHSIG, END_ALL)
    if os.getppid() != parent:  # the parent ended before prctl
        os._exit(1)
    code = subprocess.Popen(command).wait()
    kill_descendants()
    if code < 0:
        with suppress(OSError):  # the action of some signals cannot be set
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def end_all(*_: object) -> None:
    """Kill all processes of the command, and exit."""
    kill_descendants()
    os._exit(128 + END_ALL)


def kill_descendants() -> None:
    """Kill all descendants of this process."""
    for _ in range(TRIES):
        children = living_children(os.getpid())
        if not children:
            return
        for child in children:
            kill_tree(child)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                continue
        time.sleep(PAUSE_SECONDS)


def kill_tree(pid: int) -> None:
    """Kill a process and its descendants, parents first, so that they start no more."""
    children = living_children(pid)
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)
    for child in children:
        kill_tree(child)


def living_children(pid: int) -> list[int]:
    """Return the children of all threads of a process."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            found += [int(word) for word in task.read_text().split()]
    return found


if __name__ == "__main__":
    run_as_subreaper(int(sys.argv[1]), sys.argv[2:])
