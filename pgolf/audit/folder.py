"""The audit of a public submission folder: its numbers, its files and its code. Nothing in it is executed."""

from pathlib import Path

from pgolf.audit.code_verdicts import code_verdicts
from pgolf.audit.facts import Facts, facts_of_group
from pgolf.audit.gates.clock import clock_verdicts
from pgolf.audit.gates.data import data_verdicts
from pgolf.audit.gates.files import file_verdicts
from pgolf.audit.gates.metric import metric_verdicts
from pgolf.audit.gates.seeds import seed_verdicts
from pgolf.audit.gates.size import size_verdicts
from pgolf.audit.own_limits import own_limit_verdicts
from pgolf.audit.verdicts import Verdict, sort_verdicts
from pgolf.findings import Finding, Severity
from pgolf.records.folder import log_files, walk_files
from pgolf.records.groups import record_groups
from pgolf.rulesets.judging import judge_target
from pgolf.rulesets.ruleset import Ruleset

CODE_RULES = (
    "C1-CAUSAL", "C1-SELF", "C3-SCORE-FIRST", "C4-SINGLE-PASS", "NO-PREQUANT-TTT", "SLOT", "NGRAM-TARGET-KEY",
    "NGRAM-TARGET-GATE", "LOSSLESS",
)  # fmt: skip
"""Rules about what a program does, which numbers do not show."""


def holds_submission(folder: Path) -> bool:
    """Return whether a folder has code, claims or logs."""
    files = [path for path in walk_files(folder) if path.is_file()]
    return any(path.suffix == ".py" or path.name in ("submission.json", "README.md") for path in files) or bool(
        log_files(folder)
    )


def audit_folder(folder: Path, ruleset: Ruleset, *, is_code_read: bool = True) -> list[Verdict]:
    """Return the verdicts of all rules on a submission folder, for the group that its claims name."""
    group = record_groups(folder, ruleset)[0]
    facts = facts_of_group(group)
    verdicts = [*number_verdicts(facts, ruleset), *file_verdicts(facts, folder)]
    if is_code_read:
        logged = group.rows[0].run.settings if group.rows else {}
        verdicts += code_verdicts(folder, logged)
    return sort_verdicts(merge_verdicts(verdicts))


def number_verdicts(facts: Facts, ruleset: Ruleset) -> list[Verdict]:
    """Return what numbers alone show; rules about code are unknown."""
    verdicts = worst_of_each(
        [
            *metric_verdicts(facts, ruleset),
            *size_verdicts(facts, ruleset),
            *clock_verdicts(facts, ruleset),
            *data_verdicts(facts, ruleset),
            *seed_verdicts(facts),
            *own_limit_verdicts(ruleset, [run.size for run in facts.runs], target_of(facts, ruleset), "numbers"),
        ]
    )
    named = {verdict.rule for verdict in verdicts}
    message = "numbers of logs and claims do not show what the program does"
    unseen = [Verdict("unknown", rule, message, None, "numbers") for rule in CODE_RULES if rule not in named]
    return [*verdicts, *unseen]


def target_of(facts: Facts, ruleset: Ruleset) -> Finding | None:
    """Return what the runs show of the loss that a ruleset asks for; None if it asks for none, or no loss is known."""
    known = [(run.val_loss, run.size) for run in facts.runs if run.val_loss is not None]
    return judge_target(ruleset, [loss for loss, _ in known], [size for _, size in known]) if known else None


def worst_of_each(verdicts: list[Verdict]) -> list[Verdict]:
    """Return one verdict for each rule: fail before warn, pass and unknown."""
    order: tuple[Severity, ...] = ("unknown", "pass", "warn", "fail")
    kept: dict[str, Verdict] = {}
    for verdict in sorted(verdicts, key=lambda verdict: order.index(verdict.severity)):
        kept[verdict.rule] = verdict
    return list(kept.values())


def merge_verdicts(verdicts: list[Verdict]) -> list[Verdict]:
    """Drop verdicts that add nothing to another one on the same rule.

    These are unknowns from numbers where another basis knows more, and passes from code where there is another basis.
    """
    is_better = {v.rule for v in verdicts if v.severity in ("fail", "warn") or v.basis in ("executed", "construction")}
    kept: list[Verdict] = []
    for verdict in verdicts:
        is_silent = verdict.severity == "unknown" and verdict.basis == "numbers" and verdict.rule in is_better
        is_empty = verdict.basis == "code" and verdict.severity == "pass"
        has_other = any(other.rule == verdict.rule and other.basis != "code" for other in verdicts)
        if not is_silent and not (is_empty and has_other):
            kept.append(verdict)
    return kept
