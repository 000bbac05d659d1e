"""A folder for files that are not complete yet, on the disk of the folder that will hold them."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from pgolf.errors import UsageError
from trainer.recipe.locks import LockHeld, hold_lock

# Each process that ends may remove the folder before the next one has locked it.
TRIES = 50


@contextmanager
def scratch_folder(out: Path, name: str, work: str, on_note: Callable[[str], object]) -> Iterator[Path]:
    """Yield an empty, locked folder inside `out`; it is deleted at the end, or by the next one after a kill.

    Args:
        out: the folder that will hold the files; it is created.
        name: the name of the scratch folder.
        work: what the process does with `out`, such as "fetching into".
        on_note: gets a sentence for people where the file system has no flock.

    Raises:
        UsageError: another process does the same to the same folder.
    """
    scratch = out / name
    lock, files = scratch / "lock", scratch / "files"
    with ExitStack() as stack:
        # After the release: on a network file system a deleted file keeps a name in its folder while it is open.
        stack.callback(remove_if_empty, scratch)
        try:
            stack.enter_context(lock_in_folder(lock, on_note))
        except LockHeld:
            raise UsageError(f"another process is {work} {out}; wait for it or choose another --out") from None
        shutil.rmtree(files, ignore_errors=True)
        files.mkdir()
        try:
            yield files
        finally:
            shutil.rmtree(files, ignore_errors=True)
            with suppress(OSError):
                lock.unlink()  # while it is held, so that nobody who opened this file takes it for the lock


@contextmanager
def lock_in_folder(lock: Path, on_note: Callable[[str], object]) -> Iterator[None]:
    """Yield while this process holds a lock, whose folder is created.

    Raises:
        LockHeld: another process holds it.
    """
    with ExitStack() as stack:
        for tries_left in reversed(range(TRIES)):
            try:
                lock.parent.mkdir(parents=True, exist_ok=True)
                stack.enter_context(hold_lock(lock, on_note))
                break
            except (FileNotFoundError, FileExistsError):  # the folder was removed meanwhile
                if not tries_left:
                    raise
        yield


def remove_if_empty(folder: Path) -> None:
    """Remove a folder unless another process uses it."""
    with suppress(OSError):
        folder.rmdir()
