"""Verdict: a finding of an audit, with what it rests on."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from pgolf.audit.catalogue import load_catalogue
from pgolf.findings import Finding, Severity

Basis = Literal["numbers", "files", "code", "executed", "construction"]
"""Numbers of logs and claims; the files of a folder; its source text; probes of running code; or how a trainer is made.

What rests on code is a hypothesis: it names a line to read, and proves nothing.
"""
ORDER: tuple[Severity, ...] = ("fail", "warn", "unknown", "pass")


@dataclass(frozen=True, slots=True)
class Verdict(Finding):
    """What an audit has to say of one rule."""

    basis: Basis = "numbers"
    evidence: tuple[str, ...] = ()
    """Places: file:line, or a number's name."""

    def as_json(self) -> dict[str, Any]:
        """The finding, with its evidence and what the catalogue knows of its rule."""
        rule = load_catalogue()[self.rule]
        return {
            "rule": self.rule,
            "status": self.severity,
            "message": self.message,
            "fix": self.fix,
            "severity": rule.gravity,
            "basis": self.basis,
            "hypothesis": self.basis == "code",
            "evidence": list(self.evidence),
            "authority": rule.authority,
            "sources": list(rule.sources),
            "settled_by": None if self.severity == "pass" else rule.settles,
        }


def make_verdict(rule: str, severity: Severity, message: str, basis: Basis, *evidence: str) -> Verdict:
    """A verdict of a rule that the catalogue has."""
    fix = load_catalogue()[rule].settles if severity in ("warn", "unknown") else None
    return Verdict(severity, rule, message, fix, basis, evidence)


def sort_verdicts(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """What says no first, then suspicions, then what is not known, then what holds; each in the catalogue's order."""
    rank = {rule: place for place, rule in enumerate(load_catalogue())}
    return sorted(verdicts, key=lambda verdict: (ORDER.index(verdict.severity), rank[verdict.rule]))


def overall_severity(verdicts: Iterable[Verdict]) -> Severity:
    """One word for all of them: the worst there is. It passes only where nothing is left unknown."""
    found = {verdict.severity for verdict in verdicts}
    return next((severity for severity in ORDER if severity in found), "unknown")
