"""Sizes of a submission read from single lines of public logs, in all their dialects."""

import re
from dataclasses import dataclass
from typing import Literal

from trainer.dialects.scores import NUMBER, integer

WHOLE = r"(\d[\d,]{0,17})"
# A number of bytes, skipping megabytes that may precede it.
BYTES = rf"(?:~?[\d.]{{1,12}}\s*(?:MB|MiB)\s*\(\s*)?{WHOLE}(?=\s*(?:bytes\b|B\b|\(|$))"
TOTAL = re.compile(rf"^Total (?:[\w.+-]{{1,40}} ){{0,3}}?submission\b(?: size\b)?([^:|]*):\s*{BYTES}", re.IGNORECASE)
SUMMARY_TOTAL = re.compile(rf"^\s{{0,8}}(total_bytes|bytes_total)\s*[:=]\s*{WHOLE}\b(?!\.)")
# One part of a line that lists the parts of a submission: `Int6+zstd: 3531468 bytes`.
PART = re.compile(rf"([A-Za-z][\w.+-]*(?: [A-Za-z][\w.+-]*){{0,3}})\s*[:=]\s*{WHOLE}(?![\w.])(?:\s?(?:bytes|B)\b)?")
ARTIFACT = re.compile(
    rf"^(.{{0,40}}?)\bartifact(?: size)?:\s*{WHOLE} bytes(?:\s*\({NUMBER}\s*(MB|MiB)\))?", re.IGNORECASE
)
ROUNDED_ARTIFACT = re.compile(rf"^artifact:\s*{NUMBER}\s*(MB|MiB)\b.*\bcode:\s*{WHOLE}\b", re.IGNORECASE)
PART_BYTES = re.compile(r"\((\d[\d,]{0,17})B\)")
MEBI = 2**20


@dataclass(frozen=True, slots=True)
class Size:
    """Bytes of a submission as one line prints them."""

    kind: Literal["total", "own", "artifact"]
    """total: the baseline's line; own: a line with model, code and total; artifact: a size without code."""
    label: str
    total: int
    model: int | None
    code: int | None
    line: int
    is_mebi: bool = False
    """Whether the line also gives the size in MiB and calls it MB."""


def size_of(line: str, number: int) -> Size | None:
    """Return the size in a line."""
    if found := TOTAL.match(line):
        return Size("total", found[1].strip(), integer(found[2]), None, None, number)
    if found := SUMMARY_TOTAL.match(line):
        return Size("total", found[1], integer(found[2]), None, None, number)
    if found := ARTIFACT.match(line):
        total = integer(found[2])
        is_mebi = is_mebi_called_mb(total, found[3], found[4])
        if parts := model_and_code(line[found.end() :], total):
            return Size("own", found[1].strip(" :") or "artifact", total, *parts, number, is_mebi)
        return Size("artifact", found[1].strip(" :"), total, None, None, number, is_mebi)
    if found := ROUNDED_ARTIFACT.match(line):
        return sum_of_parts(line, found, number)
    return own_size(line, number)


def own_size(line: str, number: int) -> Size | None:
    """Return the size in a line that lists a model, perhaps code, and their total, in any order."""
    parts = [(name, integer(size)) for name, size in PART.findall(line)]
    totals = [size for name, size in parts if re.match(r"total(?: submission| size|$)", name, re.IGNORECASE)]
    codes = [size for name, size in parts if name.lower() in ("code", "code size")]
    models = [(name, size) for name, size in parts if not re.match(r"total|code", name, re.IGNORECASE)]
    if not totals or not models or not (codes or "bytes" in line):
        return None
    (label, model), total = models[0], totals[-1]
    code = codes[0] if codes else total - model
    return Size("own", label, total, model, code, number) if 0 <= total - model - code <= total // 10 else None


def model_and_code(text: str, total: int) -> tuple[int, int] | None:
    """Return the bytes of model and code, if the text names both and they sum to the total."""
    parts = {name.lower(): integer(size) for name, size in PART.findall(text)}
    model, code = parts.get("model"), parts.get("code")
    return (model, code) if model is not None and code is not None and model + code == total else None


def sum_of_parts(line: str, found: re.Match[str], number: int) -> Size:
    """Return the sum of the parts printed in bytes if it is the rounded total beside them, else the rounded total.

    Parts that sum to more were counted before the last compression.
    """
    code = integer(found[3])
    exact = code + sum(map(integer, PART_BYTES.findall(line)))
    unit = 1e6 if found[2].upper() == "MB" else MEBI
    rounded = round(float(found[1]) * unit)
    decimals = len(found[1].partition(".")[2])
    total = exact if abs(exact - rounded) <= unit * 10.0**-decimals else rounded
    return Size("own", "artifact", total, total - code, code, number)


def is_mebi_called_mb(total: int, printed: str | None, unit: str | None) -> bool:
    """Return whether a number printed as MB is really in MiB."""
    if printed is None or unit != "MB":
        return False
    places = len(printed.partition(".")[2])
    return round(total / MEBI, places) == float(printed) != round(total / 1e6, places)
