"""The lock of a run directory: one trainer at a time. The kernel releases it when the process ends."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trainer.recipe.files import RunFiles
from trainer.runtime.failure import AlreadyRunning

# A launcher that checks whether the run is alive holds the lock for a moment, and is not a second trainer.
PATIENCE_SECONDS = 1.0


@contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Yield while this process holds the lock.

    Raises:
        AlreadyRunning: another trainer holds it.
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
    """Delete the temporary files of a trainer that was killed while writing. Call while holding the lock."""
    for file in (files.state, files.run, files.metrics, files.ledger, files.scores, files.result):
        for leftover in files.root.glob(f".{file.name}.*.tmp"):  # not the launcher's: it may be writing one
            leftover.unlink()
    for folder in (files.checkpoints, files.artifact):
        for leftover in folder.glob(".*.tmp"):
            leftover.unlink()
