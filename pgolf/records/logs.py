"""Logs of strangers: whatever the encoding, however long."""

import gzip
import zlib
from pathlib import Path

from trainer.dialects.logged import LoggedRun, merge, split_runs
from trainer.dialects.plain import TooLong, plain, plain_line

# The longest public log has 9 MB.
MOST_BYTES = 32_000_000
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def runs_in(path: Path, root: Path) -> tuple[list[LoggedRun], bool, int]:
    """The runs that a log prints, each once; whether it was UTF-16; and its bytes.

    Raises: TooLong, OSError.
    """
    text, is_utf16, size = read_log(path)
    found = split_runs(text, plain(path.relative_to(root).as_posix()))
    once: dict[tuple[object, ...], LoggedRun] = {}
    for run in found:
        twin = once.setdefault(run.identity, run)
        if twin is not run:
            merge(twin, run)
    return list(once.values()), is_utf16, size


def read_log(path: Path) -> tuple[list[str], bool, int]:
    """The lines of a log, each cut to what a reader needs; whether it was UTF-16; and its bytes, unpacked.

    Raises: TooLong, OSError.
    """
    content = inflate(path) if path.suffix == ".gz" else read_bounded(path)
    is_utf16 = content[:2] in UTF16_MARKS
    text = content.decode("utf-16" if is_utf16 else "utf-8", errors="replace").removeprefix("\ufeff")
    return [plain_line(line) for line in text.splitlines()], is_utf16, len(content)


def read_bounded(path: Path) -> bytes:
    """The bytes of a file that is not too long."""
    if path.stat().st_size > MOST_BYTES:
        raise TooLong(f"{path} has {path.stat().st_size:,} bytes, more than any log")
    return path.read_bytes()


def inflate(path: Path) -> bytes:
    """The bytes in a gzip file, as far as a log goes."""
    try:
        with gzip.open(path) as file:
            content = file.read(MOST_BYTES + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise OSError(0, f"not a whole gzip file: {error}", str(path)) from error
    if len(content) > MOST_BYTES:
        raise TooLong(f"{path} unpacks to more than {MOST_BYTES:,} bytes, more than any log")
    return content
