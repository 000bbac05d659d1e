"""Grouping of a record's runs: which of them may be averaged."""

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

DISTINGUISHING_FACTS = ("parameters", "wallclock_limit", "validation_tokens")
"""Facts of a log in which runs of one experiment agree."""


def record_groups(folder: Path, ruleset: Ruleset) -> list[RecordGroup]:
    """Return the groups of a submission folder, the one with the most seeds first; there is always at least one."""
    record = read_record(folder)
    parts = partition(record.runs)
    name, of_folder = plain(folder.resolve().name), folder_problems(record, parts)
    if not parts:
        return [RecordGroup(name, record, [], of_folder, None)]
    found = []
    for number, runs in enumerate(parts):
        is_first, kind = number == 0, headline_kind(runs)
        scored = [(run, score) for run in runs if (score := headline_of(run, kind)) is not None]
        label = scored[0][1].label if scored else None
        rows = [RecordRow(run, score, record.code, ruleset, row_problems(run, score, ruleset)) for run, score in scored]
        unscored = [run for run in runs if run not in [each for each, _ in scored]]
        title = name if is_first else f"{name} ({describe_difference(runs, parts[0])})"
        group = RecordGroup(title, record, rows, [], label)
        findings = group_problems(group, unscored, is_first=is_first)
        found.append(replace(group, findings=[*of_folder, *findings] if is_first else findings))
    return found


def partition(runs: list[LoggedRun]) -> list[list[LoggedRun]]:
    """Split runs into parts with one model, one length and each seed once; the largest part comes first.

    A fact that a log does not state is taken from the other logs, if these agree.
    """
    agreed = [sole_value({getattr(run, fact) for run in runs} - {None}) for fact in DISTINGUISHING_FACTS]
    parts: dict[tuple[object, ...], list[LoggedRun]] = {}
    for run in runs:
        key = tuple(getattr(run, fact) or known for fact, known in zip(DISTINGUISHING_FACTS, agreed, strict=True))
        parts.setdefault(key, []).append(run)
    found = [each for part in parts.values() for each in (split_log_sets(part) if has_repeated_seeds(part) else [part])]
    return sorted(found, key=len, reverse=True)


def sole_value(values: set[object]) -> object | None:
    """Return the only value of a set; None if it has several or none."""
    return next(iter(values)) if len(values) == 1 else None


def has_repeated_seeds(runs: list[LoggedRun]) -> bool:
    """Return whether two runs have the same seed. Runs without a known seed are ignored."""
    seeds = [run.seed for run in runs if run.seed is not None]
    return len(set(seeds)) < len(seeds)


def split_log_sets(runs: list[LoggedRun]) -> list[list[LoggedRun]]:
    """Split runs by the set of logs that they belong to; a repeated seed within one set begins another."""
    sets: dict[tuple[str, int], list[LoggedRun]] = {}
    for run in runs:
        number = 0
        while any(other.seed == run.seed for other in sets.get((log_set_name(run.file), number), [])):
            number += 1
        sets.setdefault((log_set_name(run.file), number), []).append(run)
    return list(sets.values())


def log_set_name(file: str) -> str:
    """Return what the logs of a set share: the path without the seed's number."""
    return re.sub(r"(seed|s)[_-]?\d+", r"\1", file)


def describe_difference(runs: list[LoggedRun], main: list[LoggedRun]) -> str:
    """Return what distinguishes a part from the main one."""
    one, other = runs[0], main[0]
    if one.parameters != other.parameters:
        return f"{one.parameters or 0:,} parameters"
    if one.wallclock_limit != other.wallclock_limit:
        return f"{one.wallclock_limit or 0:,.0f} s of training"
    if one.validation_tokens != other.validation_tokens:
        return f"{one.validation_tokens or 0:,} validation tokens"
    return one.file
