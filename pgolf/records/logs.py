"""Public logs: read within bounds, whatever their encoding and compression."""

import gzip
import zlib
from pathlib import Path

from trainer.dialects.logged import LoggedRun, merge, split_runs
from trainer.dialects.plain import TooLong, plain, plain_line

# The longest public log has 9 MB.
MAX_BYTES = 32_000_000
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def runs_in(path: Path, root: Path) -> tuple[list[LoggedRun], bool, int]:
    """Return the runs of a log, each once, whether it is UTF-16, and its bytes after decompression.

    Raises:
        TooLong: it has more than MAX_BYTES.
        OSError: it cannot be read.
    """
    lines, is_utf16, size = read_log(path)
    found = split_runs(lines, plain(path.relative_to(root).as_posix()))
    once: dict[tuple[object, ...], LoggedRun] = {}
    for run in found:
        twin = once.setdefault(run.identity, run)
        if twin is not run:
            merge(twin, run)
    return list(once.values()), is_utf16, size


def read_log(path: Path) -> tuple[list[str], bool, int]:
    """Return the lines of a log, each cut to a bounded length, whether it is UTF-16, and its decompressed bytes.

    Raises:
        TooLong: it has more than MAX_BYTES.
        OSError: it cannot be read.
    """
    content = read_gzip(path) if path.suffix == ".gz" else read_bounded(path)
    is_utf16 = content[:2] in UTF16_MARKS
    text = content.decode("utf-16" if is_utf16 else "utf-8", errors="replace").removeprefix("\ufeff")
    return [plain_line(line) for line in text.splitlines()], is_utf16, len(content)


def read_bounded(path: Path) -> bytes:
    """Return the bytes of a file.

    Raises:
        TooLong: it has more than MAX_BYTES.
    """
    if path.stat().st_size > MAX_BYTES:
        raise TooLong(f"{path} has {path.stat().st_size:,} bytes; a log may have {MAX_BYTES:,}")
    return path.read_bytes()


def read_gzip(path: Path) -> bytes:
    """Return the decompressed bytes of a gzip file.

    Raises:
        TooLong: it has more than MAX_BYTES.
        OSError: it is cut short or damaged.
    """
    try:
        with gzip.open(path) as file:
            content = file.read(MAX_BYTES + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise OSError(0, f"not a complete gzip file: {error}", str(path)) from error
    if len(content) > MAX_BYTES:
        raise TooLong(f"{path} unpacks to more than {MAX_BYTES:,} bytes, the limit for a log")
    return content
