"""Logs of strangers as lines: whatever the encoding, however long, without what a terminal would obey."""

import gzip
import re
import zlib
from pathlib import Path

# The longest public log has 9 MB; one line of it, a dumped source, 200,000 characters.
MOST_BYTES = 32_000_000
MOST_LINE = 2_000
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
# What loggers and launchers put before a line: a time in brackets or not, a level, a rank.
PREFIX = re.compile(
    r"^(?:\[rank\s?\d{1,4}\]:?\s*|\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[\d.,+:Z]{0,16}\]?\s*"
    r"|\[\d\d:\d\d:\d\d[\d.,]{0,8}\]\s*|(?:INFO|DEBUG|WARNING)\b[:\s-]{1,4}(?:__main__[:\s-]{1,4})?|\[(?:INFO|DEBUG|WARNING)\]\s*){1,4}"
)
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class TooLong(ValueError):
    """A file that is larger than any log."""


def plain(words: str) -> str:
    """A stranger's words, or a file's name, without what a terminal would obey."""
    return ESCAPES.sub("", words)


def read_log(path: Path) -> tuple[list[str], bool, int]:
    """The lines of a log, each cut to what a reader needs; whether it was UTF-16; and its bytes, unpacked.

    Raises: TooLong, OSError.
    """
    content = inflate(path) if path.suffix == ".gz" else read_bounded(path)
    is_utf16 = content[:2] in UTF16_MARKS
    text = content.decode("utf-16" if is_utf16 else "utf-8", errors="replace").removeprefix("\ufeff")
    return [PREFIX.sub("", plain(line[:MOST_LINE])) for line in text.splitlines()], is_utf16, len(content)


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
