"""Lines of strangers: without what a terminal would obey, and without what loggers put before them."""

import re

# One line of a public log, a dumped source, has 200,000 characters.
MAX_LINE_CHARACTERS = 2_000
# What loggers and launchers put before a line: a time in brackets or not, a level, a rank.
LOGGER_PREFIX = re.compile(
    r"^(?:\[rank\s?\d{1,4}\]:?\s*|\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[\d.,+:Z]{0,16}\]?\s*"
    r"|\[\d\d:\d\d:\d\d[\d.,]{0,8}\]\s*|(?:INFO|DEBUG|WARNING)\b[:\s-]{1,4}(?:__main__[:\s-]{1,4})?|\[(?:INFO|DEBUG|WARNING)\]\s*){1,4}"
)
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class TooLong(ValueError):
    """A file that is larger than any log."""


def plain(words: str) -> str:
    """A stranger's words, or a file's name, without what a terminal would obey."""
    return ESCAPES.sub("", words)


def plain_line(line: str) -> str:
    """A line of a log as its reader wants it."""
    return LOGGER_PREFIX.sub("", plain(line[:MAX_LINE_CHARACTERS]))
