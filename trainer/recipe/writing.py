"""Files are written whole or not at all: under a temporary name, then renamed."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from trainer.recipe.locks import hold_folder
from trainer.recipe.processes import is_process_alive, process_start

# Far longer than it takes to rename a file.
CREATE_PATIENCE_SECONDS = 10.0


def write_whole(
    path: Path, content: bytes, mode: int | None = None, put: Callable[[Path, Path], object] | None = None
) -> None:
    """Write `content` to `path` atomically: if the writer is killed, `path` keeps its old content.

    The file has the usual permissions, or those of `mode`. `put` moves the temporary file into place; by default it
    replaces what is there.

    Raises:
        OSError: the disk is full or the folder is not writable; the temporary file is removed.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            if mode is not None:
                os.fchmod(file.fileno(), mode)
        (put or Path.replace)(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        failure = OSError(error.errno, error.strerror, str(path))  # the error of write() has no file name
        failure.add_note(f"{len(content):,} bytes are to be written")
        raise failure from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_once(path: Path, document: object) -> None:
    """Write the document to `path` unless another process has written the file first."""
    with suppress(FileExistsError):
        create_whole(path, json_bytes(document))


def create_whole(path: Path, content: bytes) -> None:
    """Write `content` to a new file `path` atomically. Of several writers one succeeds.

    Raises:
        FileExistsError: the file is there.
        OSError: as in `write_whole`.
    """
    check_absent(path)
    write_whole(path, content, put=put_once)


def put_once(draft: Path, path: Path) -> None:
    """Rename a file to `path` unless that is there; rename itself would replace it.

    Raises:
        FileExistsError: it is there.
    """
    try:
        path.hardlink_to(draft)
        draft.unlink()
    except FileExistsError:
        raise
    except OSError:  # each file system without hard links has an error of its own
        with hold_folder(path.with_name(f".{path.name}.writer"), CREATE_PATIENCE_SECONDS):
            check_absent(path)
            draft.rename(path)


def check_absent(path: Path) -> None:
    """Raise FileExistsError if there is anything at `path`."""
    if os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))


def remove_leftovers(path: Path) -> None:
    """Remove what writers of a file or folder that were killed have left beside it."""
    prefix = f".{path.name}."
    for draft in path.parent.glob(".*.tmp"):
        pid = draft.name.removeprefix(prefix).removesuffix(".tmp")
        is_draft = draft.name.startswith(prefix) and pid.isdecimal()
        if not is_draft or is_process_alive(int(pid), process_start(int(pid))):
            continue
        if draft.is_dir():
            shutil.rmtree(draft, ignore_errors=True)
        else:
            draft.unlink(missing_ok=True)


def write_json(path: Path, document: object) -> None:
    """Write the document to `path` atomically, indented. NaN raises ValueError: it is not JSON."""
    write_whole(path, json_bytes(document))


def json_bytes(document: object) -> bytes:
    """Return a document as indented JSON. NaN raises ValueError: it is not JSON."""
    return (json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n").encode()
