"""Numbers as files print them, and their comparison at the precision that both have."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from pgolf.alike import decimals_of
from pgolf.findings import Finding, Severity

# A mean has digits that nobody printed. Public logs print at most eight, so more are not compared.
MOST_DECIMALS = 8


@dataclass(frozen=True, slots=True)
class Printed:
    """A number with the place where a file prints it."""

    value: float
    decimals: int
    """Decimals as printed; 0 for a whole number."""
    file: str
    line: int | None = None
    """From 1; None where the file has no lines, or the number was computed from several."""
    key: str = ""
    """Its name there: a key of JSON, or the label of a log line."""

    @property
    def place(self) -> str:
        """The file, its line and the key, as far as they are known."""
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{where} {self.key}".strip()

    def as_json(self) -> dict[str, Any]:
        """Return value, file, line and key; null for what is not known."""
        return {"value": self.value, "file": self.file, "line": self.line, "key": self.key or None}


@dataclass(frozen=True, slots=True)
class Problem(Finding):
    """A problem of a record, with the numbers that show it."""

    evidence: tuple[Printed, ...] = ()
    """What was read, or computed from what was read, and where."""
    decimals: int | None = None
    """Decimals at which the numbers were compared; None where nothing is rounded."""

    def as_json(self) -> dict[str, Any]:
        """Return the finding with its evidence."""
        shown = [each.as_json() for each in self.evidence]
        return Finding.as_json(self) | {"evidence": shown, "compared_decimals": self.decimals}


def problem(severity: Severity, rule: str, message: str, *evidence: Printed, decimals: int | None = None) -> Problem:
    """Return a problem with its evidence."""
    return Problem(severity, rule, message, None, evidence, decimals)


def warn(rule: str, message: str, *evidence: Printed) -> Problem:
    return problem("warn", rule, message, *evidence)


def fail(rule: str, message: str, *evidence: Printed) -> Problem:
    return problem("fail", rule, message, *evidence)


def computed(value: float, places: Sequence[Printed], key: str) -> Printed:
    """Return a number that was computed from printed ones; it has the decimals of the coarsest of them."""
    decimals = min((each.decimals for each in places), default=decimals_of(value))
    files = ", ".join(dict.fromkeys(each.file for each in places))
    return Printed(value, decimals, files, None, key)


def mean_of(numbers: Sequence[Printed], key: str) -> Printed:
    """Return the mean of printed numbers."""
    return computed(fmean(each.value for each in numbers), numbers, key)


def coarser_decimals(one: Printed, other: Printed) -> int:
    """Return the decimals at which two numbers are compared: those of the coarser one."""
    return min(one.decimals, other.decimals, MOST_DECIMALS)


def agree(one: Printed, other: Printed) -> bool:
    """Return whether two numbers are less than one unit of the coarser one's last decimal apart.

    One unit, not half of one: authors truncate as well as round, and average numbers that were rounded before.
    """
    return abs(one.value - other.value) < 10.0 ** -coarser_decimals(one, other) * (1 - 1e-9) + 1e-12
