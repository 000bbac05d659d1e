"""A folder for files that are not complete yet, on the disk of the folder that will hold them."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pgolf.errors import UsageError
from trainer.recipe.locks import LockHeld, hold_lock


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
    scratch.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            stack.enter_context(hold_lock(scratch / "lock", on_note))
        except LockHeld:
            raise UsageError(f"another process is {work} {out}; wait for it or choose another --out") from None
        work_folder = scratch / "files"
        shutil.rmtree(work_folder, ignore_errors=True)
        work_folder.mkdir()
        try:
            yield work_folder
        finally:
            shutil.rmtree(scratch)
