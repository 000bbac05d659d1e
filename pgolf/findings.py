"""Finding: one result of a check, the same for preflight, launchers, audit and report."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Severity = Literal["pass", "warn", "fail", "unknown"]
"""`unknown`: the files at hand do not show it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one rule."""

    severity: Severity
    rule: str
    """Its short name, stable across versions."""
    message: str
    """What was found, with the numbers."""
    fix: str | None = None
    """What to do about it; always None for a pass, about which there is nothing to do."""

    def __post_init__(self) -> None:
        if self.severity == "pass":
            object.__setattr__(self, "fix", None)

    def as_json(self) -> dict[str, str | None]:
        """Return the form it has in preflight.json and on stdout."""
        return {"rule": self.rule, "status": self.severity, "message": self.message, "fix": self.fix}


def failures(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings that failed."""
    return [finding for finding in findings if finding.severity == "fail"]


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, such as `1 run` or `1,200 runs`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}{'es' if noun.endswith('s') else 's'}"
