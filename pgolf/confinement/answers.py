"""Folders into which confined commands write, read and removed by a process that has all rights of the user."""

import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path


@contextmanager
def temporary_folder(prefix: str) -> Iterator[Path]:
    """Yield a new folder, and remove it with all that a command has left there, or warn if that fails."""
    folder = Path(tempfile.mkdtemp(prefix=prefix)).resolve()
    try:
        yield folder
    finally:
        try:
            remove_tree(folder)
        except (OSError, RecursionError) as error:  # what was found in the folder counts all the same
            warnings.warn(f"{folder} was not removed: {error}; remove it yourself", stacklevel=3)


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
    """Remove a folder, however deep its folders are nested: shutil.rmtree fails below a thousand.

    Raises:
        OSError: something in it cannot be removed.
    """
    numbers = count()
    with tempfile.TemporaryDirectory(prefix="pgolf-removed-", dir=folder.parent, ignore_cleanup_errors=True) as name:
        aside = Path(name)  # here no name was chosen by a command
        move(folder, aside / str(next(numbers)))
        while nested := list(aside.iterdir()):
            for each in nested:
                for entry in list(os.scandir(each)):
                    if entry.is_dir(follow_symlinks=False):
                        move(Path(entry), aside / str(next(numbers)))
                    else:
                        os.unlink(entry)  # noqa: PTH108
                each.rmdir()


def move(folder: Path, target: Path) -> None:
    """Move a folder, whatever its mode: its own entry for the parent folder is written, too."""
    folder.chmod(0o700)
    folder.rename(target)
