"""Verdict: a finding of an audit, with its evidence."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from pgolf.audit.catalogue import load_catalogue
from pgolf.findings import Finding, Severity

Basis = Literal["numbers", "files", "code", "executed", "construction"]
"""Numbers of logs and claims, files of a folder, its source code, probes of running code, or how the trainer is built.

A verdict based on code is a hypothesis: it names a line to read and proves nothing.
"""
ORDER: tuple[Severity, ...] = ("fail", "warn", "unknown", "pass")


@dataclass(frozen=True, slots=True)
class Verdict(Finding):
    """The finding of an audit on one rule."""

    basis: Basis = "numbers"
    evidence: tuple[str, ...] = ()
    """Places: file:line, a file, or the name of a number."""

    def as_json(self) -> dict[str, Any]:
        """Return the finding with its evidence and the catalogue's entry for its rule."""
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
    """Return a verdict whose fix, if the rule may be broken, is what the catalogue says would settle it."""
    fix = load_catalogue()[rule].settles if severity in ("warn", "unknown") else None
    return Verdict(severity, rule, message, fix, basis, evidence)


def sort_verdicts(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Return the verdicts by severity, worst first, and within a severity in the catalogue's order."""
    rank = {rule: place for place, rule in enumerate(load_catalogue())}
    return sorted(verdicts, key=lambda verdict: (ORDER.index(verdict.severity), rank[verdict.rule]))


def overall_severity(verdicts: Iterable[Verdict]) -> Severity:
    """Return the worst severity of all verdicts; `pass` only if every rule passes."""
    found = {verdict.severity for verdict in verdicts}
    return next((severity for severity in ORDER if severity in found), "unknown")
