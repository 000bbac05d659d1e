"""One trainer a run directory, held by the kernel: the lock is gone the moment its process is."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trainer.recipe.files import RunFiles
from trainer.runtime.failure import AlreadyRunning

# A launcher that asks whether the run is alive holds the lock for an instant; it must not look like a second trainer.
PATIENCE_SECONDS = 1.0


@contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """A context in which no other trainer works on this run.

    Raises: AlreadyRunning when one does.
    """
    with path.open("a") as file:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise AlreadyRunning(f"another trainer is at work in {path.parent}") from None
                time.sleep(0.02)
        yield


def remove_temporary_files(files: RunFiles) -> None:
    """Nothing; what a killed trainer was writing when it died is gone. Only for the holder of the lock."""
    for file in (files.state, files.run, files.metrics, files.ledger, files.scores, files.result):
        for leftover in files.root.glob(f".{file.name}.*.tmp"):  # the launcher's own files may be in the making
            leftover.unlink()
    for folder in (files.checkpoints, files.artifact):
        for leftover in folder.glob(".*.tmp"):
            leftover.unlink()
