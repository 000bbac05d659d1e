"""Folders into which confined commands write, read and removed by a process that has all rights of the user."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path


@contextmanager
def temporary_folder(prefix: str) -> Iterator[Path]:
    """Yield a new folder, and remove it with all that a command has left there."""
    folder = Path(tempfile.mkdtemp(prefix=prefix)).resolve()
    try:
        yield folder
    finally:
        remove_tree(folder)


def answer_file(folder: Path, name: str) -> Path:
    """Return the path of a file that a command was to write.

    Raises:
        ValueError: it is a link, or lies behind one: reading it could show any file of the user.
    """
    path = folder / name
    if path.resolve() != folder.resolve() / name:
        raise ValueError(f"{name} is a link, expected a file")
    return path


def remove_tree(folder: Path) -> None:
    """Remove a folder, however deep its folders are nested: shutil.rmtree fails below a thousand."""
    numbers = count()
    while entries := list(os.scandir(folder)):
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                os.unlink(entry.path)  # noqa: PTH108
                continue
            os.chmod(entry.path, 0o700)  # noqa: PTH101
            for inner in list(os.scandir(entry.path)):
                os.rename(inner.path, folder / f".removed-{next(numbers)}")  # noqa: PTH104
            os.rmdir(entry.path)  # noqa: PTH106
    folder.rmdir()
