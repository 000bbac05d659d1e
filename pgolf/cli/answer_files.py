"""Files that a command writes for people with `--out`: whole or not at all."""

import errno
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pgolf.errors import MachineError, UsageError
from trainer.recipe.writing import create_whole, draft_path, remove_leftovers, write_whole

STANDARD_STREAMS = ("/dev/stdout", "/dev/stderr")
OPEN_FILES = (Path("/dev/fd"), Path("/proc/self/fd"))
# A file may be writable where its folder is not, or be mounted by itself (`docker run -v x.csv:/out.csv`).
NOT_REPLACEABLE = (errno.EBUSY, errno.EACCES, errno.EPERM, errno.EROFS)


def write_answer(path: Path, text: str) -> None:
    """Write a text to a file, or into a device or pipe.

    A file that is there is replaced and keeps its permissions, or is written in place where it cannot be replaced.
    A symbolic link stays, and what it names is replaced.

    Raises:
        UsageError: its folder is not there, or it is a folder itself.
        MachineError: it cannot be written.
    """
    with naming_file(path):
        if is_stream(path):
            write_stream(path, text)
            return
        mode, target, content = mode_of(path), path.resolve(), encode(text)
        remove_leftovers(target)
        try:
            write_whole(target, content, mode, draft=draft_path(target))
        except OSError as error:
            if mode is None or error.errno not in NOT_REPLACEABLE:
                raise
            target.write_bytes(content)


def create_answer(path: Path, text: str) -> None:
    """Write a text to a new file, or into a device or pipe.

    Raises:
        UsageError: the file is there, or its folder is not.
        MachineError: it cannot be written.
    """
    with naming_file(path):
        if is_stream(path):
            write_stream(path, text)
            return
        check_is_new(path)
        mode_of(path)
        target = path.resolve()
        remove_leftovers(target)
        create_whole(target, encode(text))


@contextmanager
def naming_file(path: Path) -> Iterator[None]:
    """Turn an error of the operating system into one that names the file and what to do."""
    try:
        if path.is_dir():
            raise UsageError(f"--out {path} is a folder; give the file a name, as in {path / 'answer'}")
        if not path.absolute().parent.is_dir():
            raise UsageError(f"--out {path}: the folder {path.parent} is not there; make it first")
        yield
    except FileExistsError:
        check_is_new(path)
        raise
    except OSError as error:
        raise MachineError.from_os_error(error, path) from error


def check_is_new(path: Path) -> None:
    """Check that there is no file, so that a new one loses nothing. A device or pipe is always new.

    Raises:
        UsageError: there is one.
    """
    if path.exists() and not is_stream(path):
        raise UsageError(f"{path} is already there; choose another name with --out, or delete it first")


def is_stream(path: Path) -> bool:
    """Return whether a path is a device, a pipe or an open file such as /dev/stdout, and cannot be replaced."""
    if str(path) in STANDARD_STREAMS or path.parent in OPEN_FILES:
        return True
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def mode_of(path: Path) -> int | None:
    """Return the permissions of a file; None if there is none.

    Raises:
        OSError: it cannot be told, as of links in a circle.
    """
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return None


def encode(text: str) -> bytes:
    """Return a text as UTF-8. Names of files in it that are not UTF-8 keep their bytes."""
    return text.encode(errors="surrogateescape")


def write_stream(path: Path, text: str) -> None:
    """Write a text into a device or pipe, or at the end of an open file."""
    with path.open("ab") as stream:
        stream.write(encode(text))
