"""Labelled cases: what reviewers ruled, beside what an audit says from numbers alone and from code alone."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pgolf.audit.facts import facts_of_case
from pgolf.audit.folder import number_verdicts
from pgolf.audit.static import code_verdicts
from pgolf.audit.verdicts import Verdict
from pgolf.errors import UsageError
from pgolf.findings import Severity
from pgolf.rulesets.ruleset import Ruleset

GUILTY = {"illegal", "over_size", "over_time", "byte_bug"}
SHOWN_BY: dict[str, tuple[str, ...]] = {
    "SPACE-ONCE": ("BPB-IDENTITY",),
    "BYTE-TOKENS": ("BPB-IDENTITY",),
    "SIZE-UNITS": ("SIZE-CAP",),
    "NGRAM-TARGET-KEY": ("C2-NORMALISED",),
}
"""Rules that are seen broken by another rule's numbers."""
COLUMNS: tuple[Severity, ...] = ("fail", "warn", "unknown", "pass")


@dataclass(frozen=True, slots=True)
class Case:
    """One ruling about one submission."""

    name: str
    rule: str
    verdict: str
    document: dict[str, Any]

    @property
    def is_guilty(self) -> bool | None:
        """Whether the rule was broken; None where reviewers did not say."""
        return True if self.verdict in GUILTY else False if self.verdict == "legal" else None


@dataclass(slots=True)
class Confusion:
    """How the cases of one rule came out."""

    guilty: Counter[Severity] = field(default_factory=Counter)
    innocent: Counter[Severity] = field(default_factory=Counter)
    unruled: Counter[Severity] = field(default_factory=Counter)

    def add(self, is_guilty: bool | None, said: Severity) -> None:
        """Nothing; a case is counted."""
        {True: self.guilty, False: self.innocent, None: self.unruled}[is_guilty][said] += 1

    def as_json(self) -> dict[str, dict[str, int]]:
        """Counts by ruling, then by verdict."""
        parts = (("guilty", self.guilty), ("innocent", self.innocent), ("unruled", self.unruled))
        return {name: {column: counter[column] for column in COLUMNS} for name, counter in parts}


def read_cases(path: Path) -> list[Case]:
    """The cases of a JSON Lines file.

    Raises: UsageError naming the line that is none.
    """
    found = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    for number, line in enumerate(lines, start=1):
        try:
            document = json.loads(line)
            name = str(document.get("pr", document.get("file", number)))
            found.append(Case(name, document["rule"], document.get("verdict") or document["label"], document))
        except (ValueError, KeyError, AttributeError) as error:
            raise UsageError(
                f"{path}:{number}: no labelled case ({error}); expected an object with rule and verdict"
            ) from error
    return found


def from_numbers(cases: Iterable[Case], ruleset: Ruleset) -> Iterator[tuple[Case, list[Verdict]]]:
    """Cases with what their numbers say, those that have numbers."""
    for case in cases:
        if case.document.get("metadata") is None:
            continue
        yield case, number_verdicts(facts_of_case(case.document), ruleset)


def from_code(cases: Iterable[Case], folder: Path) -> Iterator[tuple[Case, list[Verdict]]]:
    """Cases with what their code looks like, where it is in the folder: under the case's name, its folder's, or its
    file's.
    """
    for case in cases:
        names = (case.name, Path(str(case.document.get("folder") or case.name)).name)
        place = next((folder / name for name in names if (folder / name).is_dir()), None)
        if place is not None:
            yield case, code_verdicts(place, {})


def said_of(rule: str, verdicts: Iterable[Verdict]) -> Severity:
    """What verdicts say of a rule, by its own name or by what shows it; the worst of them."""
    found = {verdict.severity for verdict in verdicts if verdict.rule in (rule, *SHOWN_BY.get(rule, ()))}
    order: tuple[Severity, ...] = ("fail", "warn", "pass", "unknown")
    if "pass" in found and "unknown" in found and not found & {"fail", "warn"}:
        return "unknown"
    return next((severity for severity in order if severity in found), "unknown")


def confusion(judged: Iterable[tuple[Case, list[Verdict]]]) -> dict[str, Confusion]:
    """Rulings against verdicts, by rule."""
    table: dict[str, Confusion] = {}
    for case, verdicts in judged:
        table.setdefault(case.rule, Confusion()).add(case.is_guilty, said_of(case.rule, verdicts))
    return dict(sorted(table.items()))


def false_alarms(judged: Iterable[tuple[Case, list[Verdict]]]) -> list[tuple[str, Verdict]]:
    """Rules that an audit calls broken where reviewers accepted the submission."""
    return [
        (case.name, verdict)
        for case, verdicts in judged
        if case.verdict in ("legal", "valid_not_frontier")
        for verdict in verdicts
        if verdict.severity == "fail"
    ]
