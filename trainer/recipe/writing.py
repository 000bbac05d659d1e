"""Files are written whole or not at all: under a temporary name, then renamed."""

import errno
import json
import os
import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from trainer.recipe.locks import hold_folder, is_owner_alive, lock_owner, read_owner
from trainer.recipe.processes import is_process_alive, process_start

# Far longer than it takes to rename a file.
CREATE_PATIENCE_SECONDS = 10.0
# File names have at most 255 bytes, and that of a draft names its writer too.
PREFIX_BYTES = 100


def write_whole(
    path: Path,
    content: bytes,
    mode: int | None = None,
    put: Callable[[Path, Path], object] | None = None,
    draft: Path | None = None,
) -> None:
    """Write `content` to `path` atomically: if the writer is killed, `path` keeps its old content.

    The file has the usual permissions, or those of `mode`. `put` moves the temporary file into place; by default it
    replaces what is there. Where several machines write, `draft` is the `draft_path`.

    Raises:
        OSError: the disk is full or the folder is not writable; the temporary file is removed.
    """
    temporary = draft or path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            if mode is not None:
                os.fchmod(file.fileno(), mode)
        (put or Path.replace)(temporary, path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        failure = OSError(error.errno, error.strerror, str(path))  # the error of write() has no file name
        failure.add_note(f"{len(content):,} bytes are to be written")
        raise failure from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def draft_path(path: Path) -> Path:
    """Return a name beside `path` that no other thread uses, on this machine or another."""
    return path.with_name(f"{draft_prefix(path)}{lock_owner(os.getpid()).file_name}.{threading.get_ident()}.tmp")


def draft_prefix(path: Path) -> str:
    return f".{path.name.encode(errors='surrogateescape')[:PREFIX_BYTES].decode(errors='ignore')}."


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
    write_whole(path, content, put=put_once, draft=draft_path(path))


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
    """Remove what writers of a file or folder that were killed have left beside it.

    A writer on another machine or in another container counts as killed when its draft has not changed for long.
    """
    prefix = draft_prefix(path)
    for draft in path.parent.glob(".*.tmp"):
        writer = draft.name.removeprefix(prefix)
        if writer == draft.name or not is_left(draft, writer):
            continue
        if draft.is_dir():
            shutil.rmtree(draft, ignore_errors=True)
        else:
            draft.unlink(missing_ok=True)


def is_left(draft: Path, writer: str) -> bool:
    """Return whether a file is the draft of a dead writer, of which its name says `writer`."""
    if read_owner(writer) is not None:
        return not is_owner_alive(writer, draft)
    pid = writer.partition(".")[0]
    return pid.isdecimal() and not is_process_alive(int(pid), process_start(int(pid)))


def write_json(path: Path, document: object) -> None:
    """Write the document to `path` atomically, indented. NaN raises ValueError: it is not JSON."""
    write_whole(path, json_bytes(document))


def json_bytes(document: object) -> bytes:
    """Return a document as indented JSON. NaN raises ValueError: it is not JSON."""
    return (json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n").encode()
