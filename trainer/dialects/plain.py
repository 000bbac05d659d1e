"""Untrusted text made safe to print."""

import re

# Longer lines are cut: one public log has a line of 200,000 characters, a dumped source.
MAX_LINE_CHARACTERS = 2_000
# Commands to a terminal (colours, titles, character sets), control characters, and marks that reverse the direction.
ESCAPES = re.compile(
    r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]{0,300}(?:\x07|\x1b\\)|\x1b[()][0-9A-Za-z]"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
)


class TooLong(ValueError):
    """A file that is larger than any log can be."""


def plain(words: str) -> str:
    """Return untrusted text without terminal escapes and control characters."""
    return words if words.isprintable() else ESCAPES.sub("", words)
