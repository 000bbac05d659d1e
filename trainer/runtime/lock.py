"""The lock of a run directory: one trainer at a time."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from trainer.recipe.files import RunFiles
from trainer.recipe.locks import LockHeld, hold_lock
from trainer.recipe.writing import remove_leftovers
from trainer.runtime.failure import AlreadyRunning

# A launcher that checks whether the run is alive holds the lock for a moment, and is not a second trainer.
PATIENCE_SECONDS = 1.0


@contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Yield while this process holds the lock.

    Raises:
        AlreadyRunning: another trainer holds it.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(hold_lock(path, log_lock_note, PATIENCE_SECONDS))
        except LockHeld:
            raise AlreadyRunning(f"another trainer is at work in {path.parent}") from None
        yield


def log_lock_note(note: str) -> None:
    """Print how the directory is locked. The launcher redirects the trainer's output into the run's log."""
    print(f"trainer: {note}", file=sys.stderr, flush=True)


def remove_temporary_files(files: RunFiles) -> None:
    """Delete the temporary files of a trainer that was killed while writing. Call while holding the lock."""
    for file in (files.state, files.run, files.metrics, files.ledger, files.scores, files.result):
        remove_leftovers(file)  # not what the launcher is writing
    for folder in (files.checkpoints, files.artifact):
        for leftover in folder.glob(".*.tmp"):
            leftover.unlink()
