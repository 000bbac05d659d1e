"""Requests to stop: by signal, or by the end of the process that started this one."""

import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

from trainer.runtime.failure import Stopped

# Longer than most steps; a trainer that is still in a step after it exits without a last checkpoint.
GRACE_SECONDS = 10.0


class StopRequest:
    """A flag for requests to stop this process. The training loop checks it between forward passes."""

    def __init__(self) -> None:
        self.requested = False

    def listen(self, lifeline: int | None, end: Callable[[], object], grace_seconds: float = GRACE_SECONDS) -> None:
        """Take SIGINT, SIGTERM and the end of the `lifeline` pipe as requests to stop.

        The launcher, or rank 0, holds the other end of the pipe and never writes, so the pipe ends when that process
        does, even if it is killed. This process then has `grace_seconds` to end by itself, before `end` ends it.
        """
        signal.signal(signal.SIGTERM, self.on_signal)
        signal.signal(signal.SIGINT, self.on_signal)
        if lifeline is not None:
            threading.Thread(target=self.watch, args=(lifeline, end, grace_seconds), daemon=True).start()

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        self.requested = True

    def watch(self, lifeline: int, end: Callable[[], object], grace_seconds: float) -> None:
        while os.read(lifeline, 1):
            pass
        if grace_seconds:  # without it nothing is left for the main thread to do
            self.requested = True
            time.sleep(grace_seconds)
        end()

    def check(self) -> None:
        """Raise Stopped if a stop was requested."""
        if self.requested:
            raise Stopped("stopped on request; the same command resumes")
