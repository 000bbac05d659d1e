"""What the raw text of a folder mentions: evidence against a failure that a number alone would suggest."""

import re
from collections.abc import Collection
from pathlib import Path

from pgolf.records.containers import encoding_of, read_bytes
from pgolf.records.folder import Record, log_files, result_files
from pgolf.records.printed import MOST_DECIMALS, Printed, agree
from pgolf.records.readme import find_readme
from pgolf.records.submission_json import FILE as CLAIMS
from pgolf.records.text_files import read_text
from trainer.dialects.plain import TooLong

BYTES = re.compile(r"(?<![\d.,_])\d[\d,_]{5,14}(?![\d.])")
BYTES_WORD = re.compile(r"bytes|\bB\b|size|prun|pack|artifact|total", re.IGNORECASE)
# Of the limit: a smaller artifact would not have had to be made smaller.
FULL_SHARE = 0.9
NUMBER = re.compile(r"(?<![\d.])\d\.(\d{3,20})(?!\d)")
# Authors print means with at least so many decimals; fewer would agree with scores of single seeds.
MEAN_DECIMALS = 4
# Words between number and name are few: `8x H100`, `8 NVIDIA H100`.
CONTEST_MACHINE = re.compile(r"\b8\s{0,3}[x\u00d7*]?\s{0,3}(?:nvidia\s)?H100", re.IGNORECASE)


def is_mean_stated(record: Record, mean: Printed) -> bool:
    """Return whether submission.json or the README states a mean, or a headline that is not the other's.

    The README's may be the mean of more seeds than there are logs.
    """
    headline, stated = record.claims.headline, record.claims.headlines.values()
    if headline is not None and not all(agree(headline, other) for other in stated):
        return True
    return has_number(f"{text_of(record.folder / CLAIMS)}\n{readme_of(record)}", mean, MEAN_DECIMALS)


def find_bytes_after(path: Path, line: int, limit: int) -> Printed | None:
    """Return the last number of bytes a little below a limit that a log prints after a line; None if there is none."""
    found = None
    for number, text in enumerate(text_of_log(path).split("\n"), start=1):
        for place in BYTES.finditer(text) if number > line and BYTES_WORD.search(text) else ():
            value = int(re.sub(r"[,_]", "", place[0]))
            if limit * FULL_SHARE <= value <= limit:
                found = Printed(value, 0, path.name, number, "bytes")
    return found


def is_printed(claim: Printed, record: Record, other_logs: Collection[str]) -> bool:
    """Return whether a log, or a file of results, prints a number that agrees with a claim and has its decimals.

    Args:
        claim: A score that no evaluation which was read has.
        record: The folder.
        other_logs: Logs that do not count, because they are of other seeds.
    """
    paths = [*log_files(record.folder), *result_files(record.folder)]
    texts = (text_of_log(path) for path in paths if path.relative_to(record.folder).as_posix() not in other_logs)
    return any(has_number(text, claim, min(claim.decimals, MOST_DECIMALS)) for text in texts)


def text_of_log(path: Path) -> str:
    """Return the text of a log; empty if it cannot be read."""
    try:
        content = read_bytes(path)
    except (OSError, TooLong):
        return ""
    return content.decode(encoding_of(content), errors="replace")


def has_number(text: str, number: Printed, decimals: int) -> bool:
    """Return whether a text has a number of at least so many decimals that agrees with another one."""
    shown = (Printed(float(found[0]), len(found[1]), "") for found in NUMBER.finditer(text))
    return any(each.decimals >= decimals and agree(number, each) for each in shown)


def is_machine_stated(record: Record) -> bool:
    """Return whether submission.json or the README says that the contest's machine was used."""
    return CONTEST_MACHINE.search(f"{record.claims.hardware}\n{readme_of(record)}") is not None


def readme_of(record: Record) -> str:
    readme = find_readme(record.folder)
    return "" if readme is None else text_of(readme)


def text_of(path: Path) -> str:
    """Return the text of a file; empty if it cannot be read."""
    try:
        return read_text(path) or ""
    except (OSError, ValueError):
        return ""
