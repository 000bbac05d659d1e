"""`python subreaper.py PARENT COMMAND...`: runs the command and leaves nothing of it behind.

This process adopts whatever the command leaves behind, in whatever session, so that it can end all of it. The kernel
tells it when its own parent is gone, killed or not.
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
# What ends everything at once: the parent's death, and a supervisor whose patience is over.
END_ALL = signal.SIGHUP
TRIES, PAUSE_SECONDS = 100, 0.02


def run_as_subreaper(parent: int, command: list[str]) -> NoReturn:
    """Nothing comes after it: the command has ended, and this process as it did."""
    signal.signal(END_ALL, end_all)
    signal.signal(signal.SIGTERM, lambda *_: None)  # meant for the command, which has it too, and may take its time
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
        libc.prctl(PR_SET_PDEATHSIG, END_ALL)
    if os.getppid() != parent:  # it ended before it could be watched
        os._exit(1)
    code = subprocess.Popen(command).wait()
    kill_descendants()
    if code < 0:
        with suppress(OSError):  # some signals have but one way
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def end_all(*_: object) -> None:
    """Nothing comes after it: all that the command began is gone."""
    kill_descendants()
    os._exit(128 + END_ALL)


def kill_descendants() -> None:
    """Nothing; no process below this one is left."""
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
    """Nothing; a process and those below it have been killed, parents first, so that they start no others."""
    children = living_children(pid)
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)
    for child in children:
        kill_tree(child)


def living_children(pid: int) -> list[int]:
    """Children of a process, of all its threads."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            found += [int(word) for word in task.read_text().split()]
    return found


if __name__ == "__main__":
    run_as_subreaper(int(sys.argv[1]), sys.argv[2:])
