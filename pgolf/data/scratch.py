"""A folder for files that are not complete yet, on the disk of the folder that will hold them."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pgolf.errors import UsageError


@contextmanager
def scratch_folder(out: Path, name: str, work: str) -> Iterator[Path]:
    """Yield an empty, locked folder inside `out`; it is deleted at the end, or by the next one after a kill.

    Args:
        out: the folder that will hold the files; it is created.
        name: the name of the scratch folder.
        work: what the process does with `out`, such as "fetching into".

    Raises:
        UsageError: another process does the same to the same folder.
    """
    scratch = out / name
    scratch.mkdir(parents=True, exist_ok=True)
    lock_path = scratch / "lock"
    with lock_path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"another process is {work} {out}; wait for it or choose another --out") from None
        work_folder = scratch / "files"
        shutil.rmtree(work_folder, ignore_errors=True)
        work_folder.mkdir()
        try:
            yield work_folder
        finally:
            shutil.rmtree(scratch)
