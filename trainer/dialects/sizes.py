"""Sizes of a submission read from single lines of public logs, in all their dialects."""

import re
from dataclasses import dataclass
from typing import Literal

from trainer.dialects.scores import NUMBER, integer

WHOLE = r"(\d[\d,_]{0,17})"
UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
UNIT = r"([KMG]i?B)\b"
# A rounded number before an exact one in brackets.
ROUNDED = r"(?:~?[\d.,]{1,12}\s*[KMG]i?B\s*\(\s*)"
BYTES = rf"{ROUNDED}?{WHOLE}(?=\s*(?:bytes\b|B\b|\((?!\s*[KMG]i?B)|$))"
SUBMISSION = r"^(?:Total (?:[\w.+-]{1,40} ){0,3}?submission\b(?: size\b)?|Submission size\b)([^:|]*)"
TOTAL = re.compile(rf"{SUBMISSION}:\s*{BYTES}", re.IGNORECASE)
ROUNDED_TOTAL = re.compile(
    rf"(?:{SUBMISSION}|^(?:final )?artifact(?: size)?\s*):\s*~?(\d[\d,]{{0,12}}(?:\.\d{{1,9}})?)\s*{UNIT}",
    re.IGNORECASE,
)
# A size that the line compares with, or one before packing.
NOT_THE_SIZE = re.compile(
    r"\b(?:limit|cap|budget|max|maximum|target|baseline|uncompressed|unpacked|raw|before|unpruned)\b", re.IGNORECASE
)
# The same, also in brackets.
OF_ANOTHER = re.compile(r"reference|comparison|compare", re.IGNORECASE)
SUMMARY_TOTAL = re.compile(
    rf"^\s{{0,8}}(total_bytes|bytes_total|total_size_bytes|submission_bytes)\s*[:=]\s*{WHOLE}\b(?!\.)"
)
# One part of a line that lists the parts of a submission: `Int6+zstd: 3531468 bytes`.
PART = re.compile(rf"([A-Za-z][\w.+-]*(?: [A-Za-z][\w.+-]*){{0,3}})\s*[:=]\s*{WHOLE}(?![\w.])(?:\s?(?:bytes|B)\b)?")
ARTIFACT = re.compile(
    rf"^(.{{0,40}}?)\bartifact(?: size)?:\s*{ROUNDED}?{WHOLE} bytes(?:\s*\({NUMBER}\s*(MB|MiB)\))?",
    re.IGNORECASE,
)
ROUNDED_ARTIFACT = re.compile(rf"^artifact:\s*{NUMBER}\s*(MB|MiB)\b.*\bcode:\s*{WHOLE}\b", re.IGNORECASE)
TOTAL_WORD = re.compile(r"total", re.IGNORECASE)
PART_SUFFIX = re.compile(r"[ _](?:bytes|size)$", re.IGNORECASE)
PART_BYTES = re.compile(r"\((\d[\d,]{0,17})B\)")
# The end of a line that adds model and code: `= 15,920,123 bytes`.
SUM = re.compile(rf"=\s*{WHOLE}(?:\s?bytes)?\s*$")


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
    rounding: tuple[int, int] = (0, 0)
    """Bytes by which the size may be below and above the total, because the line gives it in larger units."""

    @property
    def is_rounded(self) -> bool:
        return self.rounding != (0, 0)

    @property
    def least(self) -> int:
        """The fewest bytes that the line can mean."""
        return self.total - self.rounding[0]

    @property
    def most(self) -> int:
        """The most bytes that the line can mean."""
        return self.total + self.rounding[1]


# A size in other words: `Total (model+code): 15,939,458 bytes`, `size_check total=15939458 limit=16000000`.
OTHER_WORDS = re.compile(
    r"\b(total|artifact|submission)\b(?P<words>[\w .()+/-]{0,40}?)\s*[:=]\s*(\d[\d,_]{5,17})(?![\w.])"
    r"(?=\s*(?:bytes\b|B\b|[/(,|]|$)|\s\w)"
    r"|\b(artifact)_bytes\s*[:=]\s*(\d[\d,_]{5,17})(?![\w.])",
    re.IGNORECASE,
)
SIZE_WORD = re.compile(r"bytes|\bB\b|\bsize|limit|\bMB\b", re.IGNORECASE)
NO_SIZE = re.compile(r"param|token|step|time|batch|flop|memory|alloc|train|val", re.IGNORECASE)


def size_of(line: str, number: int) -> Size | None:
    """Return the size in a line."""
    if (found := TOTAL.match(line)) and is_the_size(line[: found.start(2)]):
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
    if (found := ROUNDED_TOTAL.match(line)) and is_the_size(line[: found.start(2)]):
        return rounded_size(found, number)
    return own_size(line, number) or size_in_other_words(line, number)


def size_in_other_words(line: str, number: int) -> Size | None:
    """Return a size that a line gives in words of its own."""
    found = OTHER_WORDS.search(line)
    if found is None or SIZE_WORD.search(line) is None or NO_SIZE.search(line[: found.end()]):
        return None
    if not is_the_size(line[: found.start(3 if found[1] else 5)]):
        return None
    word, total = (found[1] or found[4]).lower(), integer(found[3] or found[5])
    has_code = word == "total" or "code" in (found["words"] or "").lower() or word == "submission"
    return Size("own" if has_code else "artifact", word, total, None, None, number)


def is_the_size(words: str) -> bool:
    """Return whether the words before a number say that it is the size, not what the size is compared with."""
    return NOT_THE_SIZE.search(re.sub(r"\([^)]*\)", "", words)) is None and OF_ANOTHER.search(words) is None


def rounded_size(found: re.Match[str], number: int) -> Size:
    """Return a size from a number of larger units. MB may mean 2^20 bytes, as in many scripts."""
    printed, unit = found[2].replace(",", ""), found[3].upper()
    total = round(float(printed) * UNITS[unit])
    half = UNITS[unit] * 0.5 * 10.0 ** -len(printed.partition(".")[2])
    binary = UNITS.get(f"{unit[0]}IB", UNITS[unit])
    kind: Literal["total", "artifact"] = "artifact" if found[1] is None else "total"
    above = round((float(printed) * binary) - total + half * binary / UNITS[unit])
    return Size(kind, (found[1] or "").strip(), total, None, None, number, rounding=(round(half), above))


def own_size(line: str, number: int) -> Size | None:
    """Return the size in a line that lists a model, perhaps code, and their total, in any order."""
    if TOTAL_WORD.search(line) is None and SUM.search(line) is None:
        return None
    parts = [(PART_SUFFIX.sub("", name), integer(size)) for name, size in PART.findall(line)]
    totals = [size for name, size in parts if re.match(r"total(?: submission| size|$)", name, re.IGNORECASE)]
    totals = totals or [integer(size) for size in SUM.findall(line)]
    codes = [size for name, size in parts if name.lower() == "code"]
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
    unit = UNITS[found[2].upper()]
    rounded = round(float(found[1]) * unit)
    decimals = len(found[1].partition(".")[2])
    if abs(exact - rounded) <= unit * 10.0**-decimals:
        return Size("own", "artifact", exact, exact - code, code, number)
    half = round(unit * 0.5 * 10.0**-decimals)
    return Size("own", "artifact", rounded, rounded - code, code, number, rounding=(half, half))


def is_mebi_called_mb(total: int, printed: str | None, unit: str | None) -> bool:
    """Return whether a number printed as MB is really in MiB."""
    if printed is None or unit != "MB":
        return False
    places = len(printed.partition(".")[2])
    return round(total / 2**20, places) == float(printed) != round(total / 1e6, places)
