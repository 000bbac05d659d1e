"""Comparison of two groups: which settings differ, and by how much scores, bytes, time and cost differ.

Every difference is the second group minus the first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from statistics import fmean
from typing import Any

from pgolf.records.rows import RecordGroup
from pgolf.report.groups import RunGroup
from pgolf.report.rows import Group, Row
from pgolf.report.significance import caveats, welch_degrees
from pgolf.report.stages import common_stages
from pgolf.report.sweep_names import is_shared
from pgolf.statistics import student_quantile, summarise

THOUSANDTH = 0.001
QUANTITIES = ("model_bytes", "code_bytes", "total_bytes", "steps", "train_seconds", "evaluate_seconds", "usd")


@dataclass(frozen=True, slots=True)
class Difference:
    """The difference of two means, with its confidence interval."""

    first: float
    second: float
    difference: float
    ci95: tuple[float, float] | None
    """95 % confidence interval; None with too few seeds."""
    pairs: int
    """Number of paired seeds; 0 if the seeds are treated as independent samples."""


def difference_of(first: Mapping[int, float], second: Mapping[int, float]) -> Difference:
    """Return the difference of two groups, whose values are given by seed.

    Groups with the same seeds are paired, so that the effect of a seed on both cancels. Otherwise all seeds are
    independent samples, with Welch's degrees of freedom.
    """
    if first.keys() == second.keys() and len(first) > 1:
        spread = summarise([second[seed] - first[seed] for seed in first])
        return Difference(fmean(first.values()), fmean(second.values()), spread.mean, spread.ci95, len(first))
    one, other = summarise(list(first.values())), summarise(list(second.values()))
    return Difference(one.mean, other.mean, other.mean - one.mean, welch_interval(first, second), 0)


def shared_difference(first: Mapping[int, float], second: Mapping[int, float]) -> Difference | None:
    """Return the paired difference over the shared seeds; None if all seeds are shared, or fewer than two."""
    shared = [seed for seed in first if seed in second]
    if len(shared) < 2 or first.keys() == second.keys():
        return None
    return difference_of({seed: first[seed] for seed in shared}, {seed: second[seed] for seed in shared})


def welch_interval(first: Mapping[int, float], second: Mapping[int, float]) -> tuple[float, float] | None:
    """Return the 95 % interval of a difference of independent means; None if a side has fewer than two values."""
    one, other = summarise(list(first.values())), summarise(list(second.values()))
    if one.std is None or other.std is None:
        return None
    difference, parts = other.mean - one.mean, (one.std**2 / one.n, other.std**2 / other.n)
    if not sum(parts):
        return difference, difference
    df = welch_degrees(parts, (one.n, other.n))
    half = student_quantile(0.975, df) * sqrt(sum(parts))
    return difference - half, difference + half


def compare_groups(first: Group, second: Group) -> dict[str, Any]:
    """Return the object of `pgolf compare --json`."""
    scores = difference_of(scores_by_seed(first), scores_by_seed(second))
    shared = shared_difference(scores_by_seed(first), scores_by_seed(second))
    quantities = quantities_of(first, second)
    return {
        "first": first.name,
        "second": second.name,
        "keys": differing_keys(first, second),
        "val_bpb": asdict(scores),
        "shared_seeds": None if shared is None else asdict(shared),
        "stages": stages_of(first, second),
        "quantities": quantities,
        "per_thousandth": per_thousandth(scores.difference, quantities),
        "seeds": {"first": [row.seed for row in first.rows], "second": [row.seed for row in second.rows]},
        "caveats": caveats(first, second),
    }


def scores_by_seed(group: Group) -> dict[int, float]:
    """Return the headline bits per byte by seed."""
    return {row.seed: row.val_bpb for row in group.rows}


def differing_keys(first: Group, second: Group) -> dict[str, tuple[Any, Any]]:
    """Return both values of each key that differs, or that only one group has."""
    specs = settings_of(first), settings_of(second)
    keys = [key for key in {**specs[0], **specs[1]} if not is_shared(key, specs)]
    return {key: (specs[0].get(key), specs[1].get(key)) for key in keys}


def settings_of(group: Group) -> dict[str, Any]:
    """Return the known settings of a group: its spec, or the hyperparameters that its logs print."""
    if isinstance(group, RunGroup) and group.rows:
        first = group.rows[0].result
        return group.settings | {key: first.get(key) for key in ("code_sha256", "data_sha256")}
    if isinstance(group, RecordGroup) and group.rows:
        run = group.rows[0].run
        return {"parameters": run.parameters, "wallclock_limit": run.wallclock_limit, **run.settings}
    return {}


def stages_of(first: Group, second: Group) -> list[dict[str, Any]]:
    """Return the stages that all seeds of both groups have, in order, with their differences."""
    sides = [{row.seed: dict(row.stages()) for row in group.rows} for group in (first, second)]
    names = [name for name, _ in common_stages([*first.rows, *second.rows])]
    found = []
    for name in names:
        values = [{seed: stages[name] for seed, stages in side.items()} for side in sides]
        found.append({"stage": name, **asdict(difference_of(*values))})
    return found


def quantities_of(first: Group, second: Group) -> dict[str, dict[str, float | None]]:
    """Return means of bytes, steps, seconds and dollars; None where a seed lacks the number."""
    found = {}
    for key in QUANTITIES:
        means = [mean_of(group.rows, key) for group in (first, second)]
        difference = None if means[0] is None or means[1] is None else means[1] - means[0]
        found[key] = {"first": means[0], "second": means[1], "difference": difference}
    return found


def mean_of(rows: Sequence[Row], key: str) -> float | None:
    """Return the mean of a number over seeds; None if a seed lacks it."""
    values = [row.as_json()[key] for row in rows]
    return None if not values or None in values else fmean(values)


def per_thousandth(
    difference_bpb: float, quantities: Mapping[str, Mapping[str, float | None]]
) -> dict[str, float | None]:
    """Return the bytes, seconds and dollars that the better group spends for each 0.001 bpb of its advantage.

    Negative where the better group spends less; None where a number is not known or the scores are equal.
    """
    sign = -1 if difference_bpb < 0 else 1
    found: dict[str, float | None] = {}
    for key in ("total_bytes", "train_seconds", "evaluate_seconds", "usd"):
        more = quantities[key]["difference"]
        is_known = more is not None and difference_bpb != 0
        found[key] = -sign * more * THOUSANDTH / abs(difference_bpb) if is_known and more is not None else None
    return found
