"""What only a whole log shows: a prefix of unknown kind before every line, and lines that are printed twice."""

import re
from collections import Counter
from itertools import groupby

from trainer.dialects.runs import is_header
from trainer.dialects.scores import STEP

# Lines that are looked at for a prefix, spread over the log, and how many of them must have it.
MAX_SAMPLE, MIN_LINES, MIN_SHARE = 200, 8, 0.95
# A prefix ends with one of these characters: the shapes of the lines are compared up to each of the first ones.
PREFIX_END = re.compile(r"[\])}>|:\s]")
MAX_PREFIX, MAX_ENDS = 120, 12
NUMBER = re.compile(r"\d+")
MIN_DOUBLED = 0.9


def without_common_prefix(lines: list[str]) -> list[str]:
    """Return the lines of a log without the prefix of one shape that stands before nearly all of them.

    Two prefixes have the same shape if they differ in their digits only.
    """
    written = [line for line in lines if line.strip()]
    sample = written[:: max(1, len(written) // MAX_SAMPLE)]
    if len(sample) < MIN_LINES:
        return lines
    shapes = Counter(shape for line in sample for shape in set(shapes_before(line)))
    common = [shape for shape, count in shapes.items() if count >= MIN_SHARE * len(sample)]
    known = {shape: count_known(without_shape(sample, shape)) for shape in common}
    if not known or max(known.values()) <= count_known(sample):
        return lines
    shortest = min(known, key=lambda shape: (-known[shape], len(shape)))
    return without_shape(lines, f"{shortest} " if f"{shortest} " in known else shortest)


def without_shape(lines: list[str], shape: str) -> list[str]:
    """Return the lines without a prefix of this shape."""
    prefix = re.compile(re.escape(shape).replace("0", r"\d+"))
    return [line[found.end() :] if (found := prefix.match(line)) else line for line in lines]


def shapes_before(line: str) -> list[str]:
    """Return the shapes of the beginnings of a line that may be a prefix: its digits are replaced by one 0."""
    ends = [found.end() for found in PREFIX_END.finditer(line[:MAX_PREFIX])][:MAX_ENDS]
    return [NUMBER.sub("0", line[:end]) for end in ends]


def count_known(lines: list[str]) -> int:
    """Return how many lines begin as those of a dialect do."""
    return sum(1 for line in lines if STEP.match(line) or is_header(line))


def blank_repeats(lines: list[str]) -> list[str]:
    """Return the lines of a log; if nearly every one is printed several times in a row, with the repeats blank."""
    runs = [(line, len(list(group))) for line, group in groupby(lines)]
    written = [count for line, count in runs if line.strip()]
    if len(written) < MIN_LINES or sum(count > 1 for count in written) < MIN_DOUBLED * len(written):
        return lines
    copies = Counter(written).most_common(1)[0][0]
    once: list[str] = []
    for line, count in runs:
        shown = -(-count // copies)
        once += [line] * shown + [""] * (count - shown)
    return once
