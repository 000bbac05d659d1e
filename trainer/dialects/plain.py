"""Untrusted text made safe to print: without terminal escapes, and log lines without logger prefixes."""

import re

# Longer lines are cut: one public log has a line of 200,000 characters, a dumped source.
MAX_LINE_CHARACTERS = 2_000
# Prefixes that loggers and launchers add: a time with or without brackets, a level, a rank.
LOGGER_PREFIX = re.compile(
    r"^(?:\[rank\s?\d{1,4}\]:?\s*|\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[\d.,+:Z]{0,16}\]?\s*"
    r"|\[\d\d:\d\d:\d\d[\d.,]{0,8}\]\s*|(?:INFO|DEBUG|WARNING)\b[:\s-]{1,4}(?:__main__[:\s-]{1,4})?|\[(?:INFO|DEBUG|WARNING)\]\s*){1,4}"
)
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class TooLong(ValueError):
    """A file that is larger than any log can be."""


def plain(words: str) -> str:
    """Return untrusted text without terminal escapes and control characters."""
    return ESCAPES.sub("", words)


def plain_line(line: str) -> str:
    """Return a log line without escapes and logger prefix, cut to MAX_LINE_CHARACTERS."""
    return LOGGER_PREFIX.sub("", plain(line[:MAX_LINE_CHARACTERS]))
