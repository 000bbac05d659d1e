"""How often what `audit` and `report` say of public submissions is true, by rule.

    .venv/bin/python -m benchmarks.record_precision DIR [--labels FILE] [--list]

DIR holds `records` and `cases/records`, the development folders. record_labels.yaml says for each rule in which of them
it is true, and why not in others. `--list` prints what has no label, and what is true and was not named.
"""

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from pgolf.audit.folder import audit_folder
from pgolf.findings import Finding
from pgolf.records.groups import record_groups
from pgolf.rulesets.ruleset import Ruleset, load_ruleset

LABELS = Path(__file__).with_name("record_labels.yaml")
PLACES = ("records", "cases/records")
TrueLabels = dict[str, dict[str, list[str]]]
"""The folders in which a rule is true, by source (`audit` or `report`) and rule."""
UntrueLabels = dict[str, dict[str, dict[str, str]]]
"""The causes by folder, likewise."""


@dataclass(slots=True)
class Count:
    """How often a rule was named, and how often that was true."""

    fails: int = 0
    true_fails: int = 0
    warnings: int = 0
    true_warnings: int = 0
    causes: list[str] = field(default_factory=list)
    unlabelled: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)

    def add(self, severity: str, *, is_true: bool) -> None:
        """Count a naming."""
        if severity == "fail":
            self.fails, self.true_fails = self.fails + 1, self.true_fails + is_true
        else:
            self.warnings, self.true_warnings = self.warnings + 1, self.true_warnings + is_true


def find_folders(root: Path) -> list[Path]:
    """Return the submission folders of the development set, in order."""
    return sorted(path.parent for place in PLACES for path in (root / place).rglob("submission.json"))


def named_findings(folder: Path, ruleset: Ruleset) -> Iterator[tuple[str, Finding]]:
    """Yield the failures and warnings about a folder's leading group, each with its source."""
    found: dict[str, Iterable[Finding]] = {
        "audit": audit_folder(folder, ruleset, is_code_read=False),
        "report": record_groups(folder, ruleset)[0].problems(),
    }
    for source, findings in found.items():
        yield from ((source, each) for each in findings if each.severity in ("fail", "warn"))


def count_namings(root: Path, true: TrueLabels, untrue: UntrueLabels, ruleset: Ruleset) -> dict[tuple[str, str], Count]:
    """Return the counts by source and rule."""
    counts: dict[tuple[str, str], Count] = {}
    named: dict[tuple[str, str], set[str]] = {}
    for folder in find_folders(root):
        name = folder.relative_to(root).as_posix()
        for source, each in named_findings(folder, ruleset):
            key = source, each.rule
            count, is_true = counts.setdefault(key, Count()), name in true[source].get(each.rule, ())
            count.add(each.severity, is_true=is_true)
            if cause := untrue[source].get(each.rule, {}).get(name):
                count.causes.append(cause)
            elif not is_true:
                count.unlabelled.append(name)
            named.setdefault(key, set()).add(name)
    for source, rules in true.items():
        for rule, folders in rules.items():
            key = source, rule
            counts.setdefault(key, Count()).missed += [name for name in folders if name not in named.get(key, set())]
    return dict(sorted(counts.items()))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.record_precision", description=__doc__)
    parser.add_argument("root", type=Path, metavar="DIR", help="folder that holds records and cases/records")
    parser.add_argument("--labels", type=Path, default=LABELS, help="which namings are true")
    parser.add_argument("--list", action="store_true", help="print folders without a label, and those missed")
    options = parser.parse_args(arguments)
    labels = yaml.safe_load(options.labels.read_text(encoding="utf-8"))
    counts = count_namings(options.root, labels["true"], labels["untrue"], load_ruleset("parameter_golf"))
    if not counts:
        parser.error(f"{options.root} has no submission folder below {' or '.join(PLACES)}")
    print("| rule | fail | true | warn | true | missed | cause of the untrue ones |\n|---|---|---|---|---|---|---|")
    for (source, rule), count in counts.items():
        cells = [count.fails, count.true_fails, count.warnings, count.true_warnings, len(count.missed)]
        shown = [*(str(cell) if cell else "" for cell in cells), "; ".join(dict.fromkeys(count.causes))]
        print(f"| {source} {rule} | {' | '.join(shown)} |")
        for name in count.unlabelled if options.list else ():
            print(f"|   no label: {name}")
        for name in count.missed if options.list else ():
            print(f"|   missed: {name}")


if __name__ == "__main__":
    main()
