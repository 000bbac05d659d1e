"""How the audit compares with reviewers' rulings on labelled cases.

    .venv/bin/python -m benchmarks.audit_cases cases.jsonl [--code DIR] [--json]

It prints one confusion table for verdicts from numbers alone and, with --code, one for verdicts from code alone.
docs/audit.md describes the form of a case.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from pgolf.audit.code_verdicts import code_verdicts
from pgolf.audit.facts import Facts, RunFacts
from pgolf.audit.folder import number_verdicts
from pgolf.audit.verdicts import Verdict
from pgolf.errors import UsageError
from pgolf.findings import Severity
from pgolf.records.track import Track
from pgolf.rulesets.ruleset import Ruleset, load_ruleset

VIOLATIONS = {"illegal", "over_size", "over_time", "byte_bug"}
ACCEPTED = {"legal", "valid_not_frontier"}
SHOWN_BY: dict[str, tuple[str, ...]] = {
    "SPACE-ONCE": ("BPB-IDENTITY",),
    "BYTE-TOKENS": ("BPB-IDENTITY",),
    "SIZE-UNITS": ("SIZE-CAP",),
    "NGRAM-TARGET-KEY": ("C2-NORMALISED",),
}
"""Rules whose violation shows in another rule's numbers."""
COLUMNS: tuple[Severity, ...] = ("fail", "warn", "unknown", "pass")
RULINGS = ("violation", "legal", "undecided")


@dataclass(frozen=True, slots=True)
class Case:
    """One ruling about one submission."""

    name: str
    rule: str
    ruling: str
    document: dict[str, Any]

    @property
    def is_violation(self) -> bool | None:
        """Return whether reviewers found the rule broken; None where they did not decide."""
        return True if self.ruling in VIOLATIONS else False if self.ruling == "legal" else None


@dataclass(slots=True)
class Confusion:
    """The audit's verdicts on the cases of one rule, counted by ruling."""

    violation: Counter[Severity] = field(default_factory=Counter)
    legal: Counter[Severity] = field(default_factory=Counter)
    undecided: Counter[Severity] = field(default_factory=Counter)

    def add(self, is_violation: bool | None, severity: Severity) -> None:
        {True: self.violation, False: self.legal, None: self.undecided}[is_violation][severity] += 1

    def as_json(self) -> dict[str, dict[str, int]]:
        """Return counts by ruling, then by verdict."""
        counters = (self.violation, self.legal, self.undecided)
        return {
            ruling: {column: counter[column] for column in COLUMNS}
            for ruling, counter in zip(RULINGS, counters, strict=True)
        }


def read_cases(path: Path) -> list[Case]:
    """Read the cases of a JSON Lines file.

    Raises:
        UsageError: the file cannot be read, or a line is not a case; names the line.
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
                f"{path}:{number}: not a labelled case ({error}); expected an object with rule and verdict"
            ) from error
    return found


def facts_of_case(case: Mapping[str, Any]) -> Facts:
    """Return the facts of a case: a public submission reduced to its numbers."""
    metadata: Mapping[str, Any] = case.get("metadata") or {}
    runs = tuple(run_facts(case, metadata))
    scores = [run.val_bpb for run in runs if run.val_bpb is not None]
    return Facts(
        runs=runs,
        mean=fmean(scores) if scores else None,
        track=Track.UNLIMITED if case.get("track") == "non_record" else Track.TEN_MINUTES,
        headline=metadata.get("val_bpb"),
        claimed_bytes=tuple(filter(None, (metadata.get("bytes_total"),))),
        claimed_bytes_per_token=metadata.get("bytes_per_token_from_json"),
        committed=metadata.get("committed_py_bytes") or {},
    )


def run_facts(case: Mapping[str, Any], metadata: Mapping[str, Any]) -> Iterator[RunFacts]:
    """Yield the runs of a case, then one run for each token count that only its metadata has."""
    for run in case.get("runs") or ():
        total, code = run.get("total_bytes"), run.get("code_bytes")
        model = run.get("model_bytes", total - code if total and code else None)
        yield RunFacts(
            log=run["log"],
            seed=run.get("seed"),
            val_loss=run.get("val_loss"),
            val_bpb=run.get("val_bpb"),
            validation_tokens=run.get("val_tokens"),
            train_shards=run.get("train_shards"),
            train_seconds=run.get("train_time_s"),
            evaluate_seconds=run.get("eval_time_s"),
            is_whole_evaluation=run.get("eval_time_from") == "total_eval_time",
            total_bytes=total,
            model_bytes=model,
            code_bytes=code,
            processes=run.get("world_size"),
        )
    known = {run.get("val_tokens") for run in case.get("runs") or ()}
    for tokens in metadata.get("val_tokens") or ():
        if tokens not in known:
            yield RunFacts(log="a log without a final score", validation_tokens=tokens)


def verdicts_from_numbers(cases: Iterable[Case], ruleset: Ruleset) -> Iterator[tuple[Case, list[Verdict]]]:
    """Yield each case that has numbers, with the verdicts that they allow."""
    for case in cases:
        if case.document.get("metadata") is not None:
            yield case, number_verdicts(facts_of_case(case.document), ruleset)


def verdicts_from_code(cases: Iterable[Case], folder: Path) -> Iterator[tuple[Case, list[Verdict]]]:
    """Yield each case whose code is in `folder`, under the case's name or its folder's, with the code's verdicts."""
    for case in cases:
        names = (case.name, Path(str(case.document.get("folder") or case.name)).name)
        place = next((folder / name for name in names if (folder / name).is_dir()), None)
        if place is not None:
            yield case, code_verdicts(place, {})


def severity_of(rule: str, verdicts: Iterable[Verdict]) -> Severity:
    """Return the worst verdict on a rule, by its own name or by a rule that shows its violation."""
    found = {verdict.severity for verdict in verdicts if verdict.rule in (rule, *SHOWN_BY.get(rule, ()))}
    order: tuple[Severity, ...] = ("fail", "warn", "pass", "unknown")
    if "pass" in found and "unknown" in found and not found & {"fail", "warn"}:
        return "unknown"
    return next((severity for severity in order if severity in found), "unknown")


def count_confusion(judged: Iterable[tuple[Case, list[Verdict]]]) -> dict[str, Confusion]:
    """Count verdicts against rulings, by rule."""
    table: dict[str, Confusion] = {}
    for case, verdicts in judged:
        table.setdefault(case.rule, Confusion()).add(case.is_violation, severity_of(case.rule, verdicts))
    return dict(sorted(table.items()))


def false_alarms(judged: Iterable[tuple[Case, list[Verdict]]]) -> list[tuple[str, Verdict]]:
    """Return the failing verdicts on submissions that reviewers accepted, each with the case's name."""
    return [
        (case.name, verdict)
        for case, verdicts in judged
        if case.ruling in ACCEPTED
        for verdict in verdicts
        if verdict.severity == "fail"
    ]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audit_cases", description=__doc__)
    parser.add_argument("cases", type=Path, help="labelled cases, one JSON object a line")
    parser.add_argument("--code", type=Path, metavar="DIR", help="folder with the code of each case in a folder")
    parser.add_argument("--ruleset", default="parameter_golf", help="the contest whose rules apply")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    try:
        cases, ruleset = read_cases(options.cases), load_ruleset(options.ruleset)
    except UsageError as error:
        parser.error(str(error))
    judged = {"metadata": list(verdicts_from_numbers(cases, ruleset))}
    judged["code"] = [] if options.code is None else list(verdicts_from_code(cases, options.code))
    tables, alarms = {name: count_confusion(part) for name, part in judged.items()}, false_alarms(judged["metadata"])
    if options.json:
        rows = {name: {rule: row.as_json() for rule, row in table.items()} for name, table in tables.items()}
        alarm_rows = [{"case": case, "rule": v.rule, "message": v.message} for case, v in alarms]
        print(json.dumps({"cases": len(cases), **rows, "false_alarms": alarm_rows}, indent=2))
        return
    for name, table in tables.items():
        print(f"from {name}: {len(judged[name])} of {len(cases)} cases")
        if table:
            print_table(table)
    for case, verdict in alarms:
        print(f"false alarm on accepted case {case}: {verdict.rule}: {verdict.message}")


def print_table(table: dict[str, Confusion]) -> None:
    """Print one row for each rule, then their sum."""
    places = [(ruling, column) for ruling in RULINGS for column in COLUMNS]
    rows = {rule: [row.as_json()[ruling][column] for ruling, column in places] for rule, row in table.items()}
    rows["all"] = [sum(cells) for cells in zip(*rows.values(), strict=True)]
    print(" " * 34 + "".join(f"{ruling:<32}" for ruling in RULINGS).rstrip())
    print(f"{'rule':<30}" + "".join(f"{column:>8}" for _, column in places))
    for rule, cells in rows.items():
        print(f"{rule:<30}" + "".join(f"{cell or '':>8}" for cell in cells))


if __name__ == "__main__":
    main()
