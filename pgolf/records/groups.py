"""Runs of a record that may be averaged, apart from those that may not."""

import re
from dataclasses import replace
from pathlib import Path

from pgolf.records.folder import read_record
from pgolf.records.problems import folder_problems, group_problems, row_problems
from pgolf.records.rows import RecordGroup, RecordRow
from pgolf.rulesets.ruleset import Ruleset
from trainer.dialects.headline import headline_kind, headline_of
from trainer.dialects.logged import LoggedRun
from trainer.dialects.plain import plain

TELLING_APART = ("parameters", "wallclock_limit", "validation_tokens")
"""Facts of a log that make runs another experiment."""


def record_groups(folder: Path, ruleset: Ruleset) -> list[RecordGroup]:
    """The groups of a submission folder: that of most seeds first, what must not join it after it."""
    record = read_record(folder)
    parts = partition(record.runs)
    name, notes = plain(folder.resolve().name), folder_problems(record, parts)
    if not parts:
        return [RecordGroup(name, record, [], notes, None)]
    found = []
    for number, runs in enumerate(parts):
        is_first, kind = number == 0, headline_kind(runs)
        scored = [(run, score) for run in runs if (score := headline_of(run, kind)) is not None]
        label = scored[0][1].label if scored else None
        rows = [RecordRow(run, score, record.code, ruleset, row_problems(run, score, ruleset)) for run, score in scored]
        unscored = [run for run in runs if run not in [each for each, _ in scored]]
        title = name if is_first else f"{name} ({describe(runs, parts[0])})"
        group = RecordGroup(title, record, rows, [], label)
        problems = [*(notes if is_first else []), *group_problems(group, unscored, is_first=is_first)]
        found.append(replace(group, notes=problems))
    return found


def partition(runs: list[LoggedRun]) -> list[list[LoggedRun]]:
    """Runs of the same model and length, each seed once; the largest part first, in the order of the logs otherwise.

    What one log does not say is what all others agree on.
    """
    agreed = [only({getattr(run, fact) for run in runs} - {None}) for fact in TELLING_APART]
    parts: dict[tuple[object, ...], list[LoggedRun]] = {}
    for run in runs:
        key = tuple(getattr(run, fact) or known for fact, known in zip(TELLING_APART, agreed, strict=True))
        parts.setdefault(key, []).append(run)
    found = [each for part in parts.values() for each in (log_sets(part) if has_twins(part) else [part])]
    return sorted(found, key=len, reverse=True)


def only(values: set[object]) -> object | None:
    """The one value there is; None where there are several, or none."""
    return next(iter(values)) if len(values) == 1 else None


def has_twins(runs: list[LoggedRun]) -> bool:
    """Whether a seed is there twice. Of runs without a seed nobody knows."""
    seeds = [run.seed for run in runs if run.seed is not None]
    return len(set(seeds)) < len(seeds)


def log_sets(runs: list[LoggedRun]) -> list[list[LoggedRun]]:
    """Runs by the set of logs they belong to; within one set a seed that is there again begins another."""
    sets: dict[tuple[str, int], list[LoggedRun]] = {}
    for run in runs:
        number = 0
        while any(other.seed == run.seed for other in sets.get((set_of(run.file), number), [])):
            number += 1
        sets.setdefault((set_of(run.file), number), []).append(run)
    return list(sets.values())


def set_of(file: str) -> str:
    """What names a set of logs: the path without the seed's number."""
    return re.sub(r"(seed|s)[_-]?\d+", r"\1", file)


def describe(runs: list[LoggedRun], main: list[LoggedRun]) -> str:
    """In what a part differs from the main one."""
    one, other = runs[0], main[0]
    if one.parameters != other.parameters:
        return f"{one.parameters or 0:,} parameters"
    if one.wallclock_limit != other.wallclock_limit:
        return f"{one.wallclock_limit or 0:,.0f} s of training"
    if one.validation_tokens != other.validation_tokens:
        return f"{one.validation_tokens or 0:,} validation tokens"
    return one.file
