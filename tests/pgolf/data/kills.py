"""Kills a process at a chosen step of its writing."""

import os
import signal
from collections.abc import Callable
from itertools import count
from pathlib import Path


def killed_at(step: int, method: str, work: Callable[[], object]) -> bool:
    """Do the work in a process that is killed at its nth call of a method of Path; return whether it came so far."""
    pid = os.fork()
    if not pid:
        steps, original = count(), getattr(Path, method)

        def dying(*arguments: object, **options: object) -> object:
            if next(steps) == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*arguments, **options)

        setattr(Path, method, dying)
        try:
            work()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])
