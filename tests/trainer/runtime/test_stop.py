"""What ends a process whose launcher is gone."""

import os
import threading
import time

import pytest

from trainer.runtime.failure import Stopped
from trainer.runtime.stop import StopRequest


def stop_within(grace_seconds: float) -> tuple[StopRequest, float]:
    """Return the requests of a process whose lifeline has been closed, and the seconds until it was ended."""
    stop, has_ended = StopRequest(), threading.Event()
    receiver, sender = os.pipe()
    watching = threading.Thread(target=stop.watch, args=(receiver, has_ended.set, grace_seconds))
    watching.start()
    assert not stop.requested
    began = time.monotonic()
    os.close(sender)
    assert has_ended.wait(10)
    seconds = time.monotonic() - began
    watching.join()
    os.close(receiver)
    return stop, seconds


def test_a_process_has_its_grace_time_to_stop_by_itself() -> None:
    stop, seconds = stop_within(0.3)
    assert seconds >= 0.3
    with pytest.raises(Stopped):
        stop.check()


def test_a_process_without_grace_time_is_ended_before_it_can_write_anything() -> None:
    stop, _ = stop_within(0.0)
    stop.check()
