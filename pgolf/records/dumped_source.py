"""Source code that a log prints, as the challenge's baseline does: its seeds, scores and sizes are no results."""

import re
from collections.abc import Sequence

# Lines with which a dump begins, or goes on after a line that is not recognised.
START = re.compile(
    r"(?:import \w[\w., ]*(?: as \w+)?|from [\w.]+ import \S.*|(?:async )?def \w+\(.*|class \w+[(:].*"
    r"|@\w[\w.]*(?:\(.*)?|if __name__\b.*|#!/.*|#include\b.*)$"
)
# Other lines at the left margin that only code has.
CODE = re.compile(
    r"[)\]}]|#|(?:if|for|while|with|try|else|elif|except|finally)\b.*:(?:\s*#.*)?$|(?:assert|raise|del|global) "
    r"|[A-Za-z_][\w.]*\(.*\)$"
)
# Lines that logs have as well: they belong to a dump only between lines of code.
EITHER = re.compile(
    r"\s*$|\s{1,8}[a-z][a-z0-9_]{1,40}: \S|[A-Za-z_][\w.]*(?:\[[^\]]*\])?(?:\s*:\s*[\w\[\], .|]+)?\s*[-+*/|&]?=\s*\S"
)
QUOTES = re.compile(r'"""|\'\'\'')
# The longest text between triple quotes, and the fewest lines of code that are a dump.
MAX_QUOTED, MIN_CODE = 300, 3


def blank_source(lines: list[str]) -> list[str]:
    """Return the lines of a log with those of dumped source code blank."""
    kept = list(lines)
    place = 0
    while place < len(lines):
        if not (START.match(lines[place]) or QUOTES.match(lines[place])):
            place += 1
            continue
        end = end_of_source(lines, place)
        kept[place:end] = [""] * (end - place)
        place = max(end, place + 1)
    return kept


def end_of_source(lines: Sequence[str], start: int) -> int:
    """Return the line after the source code that begins at `start`; `start` itself if it is too short to be a dump."""
    place, end, found = start, start, 0
    while place < len(lines):
        line = lines[place]
        if len(QUOTES.findall(line)) % 2:
            closing = closing_quotes(lines, place)
            if closing is None:
                break
            place = closing
        elif EITHER.match(line):
            place += 1
            continue
        elif not (line[0].isspace() or START.match(line) or CODE.match(line)):
            break
        place += 1
        end, found = place, found + 1
    return end if found >= MIN_CODE else start


def closing_quotes(lines: Sequence[str], opening: int) -> int | None:
    """Return the line that closes the text whose triple quotes are opened on a line; None if it is too far."""
    following = range(opening + 1, min(len(lines), opening + MAX_QUOTED))
    return next((place for place in following if len(QUOTES.findall(lines[place])) % 2), None)
