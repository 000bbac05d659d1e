"""The lines of a log as its program meant them: the one step before every dialect, for files and for live output."""

import json
import re

from trainer.dialects.plain import MAX_LINE_CHARACTERS, plain
from trainer.dialects.prefixes import without_prefix

# Keys below which docker, journald, structlog, cloud loggers and Kaggle keep the text of a line.
TEXT_KEYS = ("message", "msg", "log", "text", "line", "event", "data", "MESSAGE", "textPayload")
MAX_WRAPPED = 3
CURSOR_TO_START = re.compile(r"\x1b\[\d*G|\x1b\[2K")
LABEL = re.compile(r"[^\d%|]*")


def plain_lines(raw: str) -> list[str]:
    """Return the lines that one line of a file shows, without escapes, containers and prefixes.

    These are mostly one. More if a JSON object holds several, or if a progress line gave way to another text.
    """
    return [line for state in shown_states(raw) for line in unwrap(state, MAX_WRAPPED)]


def unwrap(line: str, levels: int) -> list[str]:
    """Return the lines below the prefixes and JSON objects around them."""
    line = plain(line)
    bare = without_prefix(line)
    if levels and bare[:2].lstrip("[,").startswith("{") and (text := text_in_json(bare)) is not None:
        return [line for part in text.split("\n") for state in shown_states(part) for line in unwrap(state, levels - 1)]
    return [bare[:MAX_LINE_CHARACTERS].rstrip()]


def text_in_json(line: str) -> str | None:
    """Return the text that a JSON object on one line wraps; None if it wraps none."""
    if len(line) > 20 * MAX_LINE_CHARACTERS:
        return None
    try:
        record = json.loads(line.strip().lstrip("[,").rstrip(",") if line[0] != "{" else line.rstrip().rstrip(",]"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or any("bpb" in key for key in record):  # a result and no line of text
        return None
    texts = [record[key] for key in TEXT_KEYS if isinstance(record.get(key), str)]
    return texts[0].rstrip("\n") if texts else None


def shown_states(line: str) -> list[str]:
    """Return what stays of a line that was partly overwritten after carriage returns and backspaces.

    A state gives way to the next one with the same words before its first number. The others are kept: a score
    that a progress bar overwrites is still a score.
    """
    line = line.rstrip("\r\n")
    if "\r" not in line and "\b" not in line and "\x1b" not in line:
        return [line]
    parts = [erase_backspaces(part) for part in CURSOR_TO_START.sub("\r", line).split("\r")]
    states = [part for part in parts if plain(part[:MAX_LINE_CHARACTERS]).strip()]
    return [
        state
        for number, state in enumerate(states)
        if number == len(states) - 1 or label_of(state) != label_of(states[number + 1])
    ] or [""]


def label_of(state: str) -> str:
    """Return the words before the first number of a progress line."""
    found = LABEL.match(without_prefix(plain(state[:MAX_LINE_CHARACTERS])))
    return "" if found is None else found[0].strip()


def erase_backspaces(text: str) -> str:
    """Return a text without the characters that backspaces erase."""
    if "\b" not in text:
        return text
    kept: list[str] = []
    for character in text:
        if character != "\b":
            kept.append(character)
        elif kept:
            kept.pop()
    return "".join(kept)
