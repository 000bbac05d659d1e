"""Files are written whole or not at all: under a temporary name, then renamed."""

import errno
import json
import os
from contextlib import suppress
from pathlib import Path

from trainer.recipe.locks import hold_folder

# Far longer than it takes to rename a file.
CREATE_PATIENCE_SECONDS = 10.0


def write_whole(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically: if the writer is killed, `path` keeps its old content.

    Raises:
        OSError: the disk is full or the folder is not writable; the temporary file is removed.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        # The error of write() has no file name.
        raise OSError(error.errno, f"{error.strerror}, {len(content):,} bytes to write", str(path)) from error
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
    if os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    write_whole(draft, content)
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        raise
    except OSError:  # each file system without hard links has an error of its own
        with hold_folder(path.with_name(f".{path.name}.writer"), CREATE_PATIENCE_SECONDS):
            if os.path.lexists(path):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
            draft.rename(path)
    finally:
        draft.unlink(missing_ok=True)


def write_json(path: Path, document: object) -> None:
    """Write the document to `path` atomically, indented. NaN raises ValueError: it is not JSON."""
    write_whole(path, json_bytes(document))


def json_bytes(document: object) -> bytes:
    """Return a document as indented JSON. NaN raises ValueError: it is not JSON."""
    return (json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n").encode()
