"""Grouping of a record's runs: which of them may be averaged."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from pgolf.records.claims import Claims
from pgolf.records.folder import read_record
from pgolf.records.folder_problems import folder_problems
from pgolf.records.lead import Reading, Support, named_reading, readings
from pgolf.records.log_names import log_set_name, set_words
from pgolf.records.printed import Printed, computed
from pgolf.records.problems import group_problems
from pgolf.records.row_problems import row_problems
from pgolf.records.rows import RecordGroup, RecordRow
from pgolf.records.track import track_of
from pgolf.rulesets.ruleset import Ruleset
from trainer.dialects.logged import LoggedRun
from trainer.dialects.plain import plain

OTHER_WORK = re.compile(r"baselines?|ablat\w*|controls?|old|prev\w*|prior|debug|smoke|no|without")
DISTINGUISHING_FACTS = ("parameters", "wallclock_limit", "validation_tokens")
"""Facts of a log in which runs of one experiment agree."""


def record_groups(folder: Path, ruleset: Ruleset) -> list[RecordGroup]:
    """Return the groups of a submission folder, the one that its claims name first; there is always at least one.

    Where they name none, the group with the most seeds comes first; if several have as many, it is `ambiguous`.
    """
    record = read_record(folder)
    parts, track = partition(record.runs, record.claims), track_of(record.claims, folder, ruleset)
    name, of_folder = plain(folder.resolve().name), folder_problems(record, [part.runs for part in parts])
    if not parts:
        return [RecordGroup(name, record, [], of_folder, None, track=track)]
    found = []
    for number, reading in enumerate(parts):
        is_first, runs = number == 0, reading.runs
        scored = [(runs[place], score) for place, score in reading.scores.items()]
        rows = [
            RecordRow(run, score, record.code, ruleset, row_problems(run, score, ruleset, track, folder))
            for run, score in scored
        ]
        unscored = [run for place, run in enumerate(runs) if place not in reading.scores]
        title = name if is_first else f"{name} ({describe_difference(runs, parts[0].runs)})"
        ambiguous = rivals(parts) if is_first else ()
        group = RecordGroup(
            title,
            record,
            rows,
            [],
            reading.label,
            ambiguous=ambiguous,
            is_claimed=reading.is_claimed,
            track=track,
            is_mention=reading.is_mention,
            is_lead=is_first,
        )
        findings = group_problems(group, unscored, is_first=is_first)
        found.append(replace(group, findings=[*of_folder, *findings] if is_first else findings))
    return found


def rivals(parts: list[Reading]) -> tuple[Printed, ...]:
    """Return the means that may be the headline, if no claim says which one leads.

    They are those of several equally large parts, and of scores that the logs print after the one that leads.
    """
    first = parts[0]
    if first.is_claimed:
        return ()
    equal = [part for part in parts if part.scores and len(part.scores) == len(first.scores)]
    equal += [other for other in readings(first.runs) if is_after(other, first)]
    means = [computed(part.mean, list(part.printed.values()), part.label or "") for part in equal]
    return tuple(means) if len({mean.value for mean in means}) > 1 else ()


def is_after(other: Reading, first: Reading) -> bool:
    """Return whether every log prints the score of one reading after that of another."""
    places = first.scores.keys() & other.scores.keys()
    return bool(places) and all(other.scores[place].line > first.scores[place].line for place in places)


def partition(runs: list[LoggedRun], claims: Claims) -> list[Reading]:
    """Split runs into parts with one model, one length and each seed once; the part that the claims name comes first.

    A fact that a log does not state is taken from the other logs, if these agree.
    """
    agreed = [sole_value({getattr(run, fact) for run in runs} - {None}) for fact in DISTINGUISHING_FACTS]
    alike: dict[tuple[object, ...], list[LoggedRun]] = {}
    for run in runs:
        key = tuple(getattr(run, fact) or known for fact, known in zip(DISTINGUISHING_FACTS, agreed, strict=True))
        alike.setdefault(key, []).append(run)
    found = [each for part in alike.values() for each in log_sets(part, claims)]
    return [reading for reading, _ in sorted(found, key=lambda each: rank_of_part(*each), reverse=True)]


def rank_of_part(reading: Reading, support: Support) -> tuple[Support, bool, int]:
    """Return a key that sorts parts: by the claims, then those that are not of other work, then by their runs."""
    return support, not any(map(is_other_work, reading.runs)), len(reading.scores)


def log_sets(runs: list[LoggedRun], claims: Claims) -> list[tuple[Reading, Support]]:
    """Return the sets of logs in runs of one model and length, with their support by the claims.

    Several runs of one seed, or runs of unknown seeds, are several sets, unless a claimed headline is the mean of all.
    """
    has_all_seeds = all(run.seed is not None for run in runs)
    if len(runs) == 1 or (has_all_seeds and not has_repeated_seeds(runs) and not has_other_work(runs, claims)):
        return [named_reading(runs, claims)]
    candidates = [split_log_sets(runs)]
    if named := claimed_runs(runs, claims) or runs_of_claimed_seeds(runs, claims):
        candidates.append([named, *split_log_sets([run for run in runs if run not in named])])
    splits = [[named_reading(each, claims) for each in sets] for sets in candidates]
    found = max(splits, key=lambda split: max(support for _, support in split))
    whole = named_reading(runs, claims)
    is_named = any(each.seeds or each.is_mean for _, each in found)
    return [whole] if whole[1].is_mean and not is_named else found


def has_other_work(runs: list[LoggedRun], claims: Claims) -> bool:
    """Return whether some runs, each of its own seed, are of other work: by the claims, else by their names."""
    headline = claims.headline
    if headline is not None and named_reading(runs, claims)[1].is_mean:
        return False
    for named in (claimed_runs(runs, claims), runs_of_claimed_seeds(runs, claims)):
        if named and len(named) < len(runs) and named_reading(named, claims)[1].is_mean:
            return True
    words = {set_words(run) for run in runs}
    if len(words) == 1 or set(claims.seeds) == {run.seed for run in runs}:
        return False
    if headline is not None:
        return any(named_reading(each, claims)[1].is_mean for each in split_log_sets(runs))
    marked = [is_other_work(run) for run in runs]
    return len(words) == len(runs) or (any(marked) and not all(marked))


def is_other_work(run: LoggedRun) -> bool:
    """Return whether the path of a log says that it is of a baseline, an ablation or an older version."""
    return any(OTHER_WORK.fullmatch(word) for word in log_set_name(run))


def runs_of_claimed_seeds(runs: list[LoggedRun], claims: Claims) -> list[LoggedRun]:
    """Return the runs of the claimed seeds, if each of several has exactly one."""
    named = [run for run in runs if run.seed in claims.seeds]
    return named if len(named) == len(claims.seeds) > 1 else []


def claimed_runs(runs: list[LoggedRun], claims: Claims) -> list[LoggedRun]:
    """Return for each claimed seed the only run that has its claimed score; none if a seed has no such run."""
    named = []
    for seed in claims.bpb_by_seed:
        own = [run for run in runs if run.seed == seed and named_reading([run], claims)[1].seeds]
        if len(own) != 1:
            return []
        named += own
    return named


def sole_value(values: set[object]) -> object | None:
    """Return the only value of a set; None if it has several or none."""
    return next(iter(values)) if len(values) == 1 else None


def has_repeated_seeds(runs: list[LoggedRun]) -> bool:
    """Return whether two runs have the same seed. Runs without a known seed are ignored."""
    seeds = [run.seed for run in runs if run.seed is not None]
    return len(set(seeds)) < len(seeds)


def split_log_sets(runs: list[LoggedRun]) -> list[list[LoggedRun]]:
    """Split runs by the set of logs that they belong to.

    Names of one set may differ in numbers, such as times. Numbers tell sets apart only where a seed is repeated, and
    only if they do not tell every log from every other; else the first run of each seed is of the first set.
    A run of unknown seed may be another experiment, so that it is a set of its own.
    """
    found = [[run] for run in runs if run.seed is None]
    for alike in alike_by(set_words, [run for run in runs if run.seed is not None]):
        numbered = by_occurrence(alike_by(log_set_name, alike)) if has_repeated_seeds(alike) else [alike]
        found += by_occurrence([alike]) if len(numbered) == len(alike) else numbered
    return found


def alike_by(key: Callable[[LoggedRun], tuple[str, ...]], runs: list[LoggedRun]) -> list[list[LoggedRun]]:
    """Return the runs that have the same key, together."""
    found: dict[tuple[str, ...], list[LoggedRun]] = {}
    for run in runs:
        found.setdefault(key(run), []).append(run)
    return list(found.values())


def by_occurrence(parts: list[list[LoggedRun]]) -> list[list[LoggedRun]]:
    """Split each part so that no seed is repeated: its first run, its second one, and so on."""
    found: list[list[LoggedRun]] = []
    for part in parts:
        sets: list[list[LoggedRun]] = []
        for run in part:
            free = next((each for each in sets if all(other.seed != run.seed for other in each)), None)
            if free is None:
                sets.append([run])
            else:
                free.append(run)
        found += sets
    return found


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
