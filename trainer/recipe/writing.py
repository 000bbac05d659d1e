"""Files are written whole or not at all: under a temporary name, then renamed."""

import json
import os
from pathlib import Path


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
        raise OSError(error.errno, error.strerror, str(path)) from error  # the error of write() has no file name
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_once(path: Path, document: object) -> None:
    """Write the document to `path` unless another process has written the file first."""
    if path.exists():
        return
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    write_json(draft, document)
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def write_json(path: Path, document: object) -> None:
    """Write the document to `path` atomically, indented. NaN raises ValueError: it is not JSON."""
    write_whole(path, (json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n").encode())
