"""Finding: what preflight, launchers and audits have to say, in one currency."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Severity = Literal["pass", "warn", "fail", "unknown"]
"""`unknown`: what there is to look at does not show it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The verdict of one rule."""

    severity: Severity
    rule: str
    """A short name, stable across versions."""
    message: str
    """What was found, with the numbers."""
    fix: str | None = None
    """What to do about it."""

    def as_json(self) -> dict[str, str | None]:
        """The form in preflight.json and on stdout."""
        return {"rule": self.rule, "status": self.severity, "message": self.message, "fix": self.fix}


def failures(findings: Iterable[Finding]) -> list[Finding]:
    """The findings that say no."""
    return [finding for finding in findings if finding.severity == "fail"]
