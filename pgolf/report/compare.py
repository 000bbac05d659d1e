"""Two groups held against each other: what differs in their specs, and what that did to scores, bytes, time and money.

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
    """The difference of two means, as far as seeds tell."""

    first: float
    second: float
    difference: float
    ci95: tuple[float, float] | None
    """None where there are too few seeds to say."""
    pairs: int
    """Seeds that both groups have; 0 where the interval is that of independent samples."""


def difference_of(first: Mapping[int, float], second: Mapping[int, float]) -> Difference:
    """The difference of two groups' values by seed.

    Paired where both have the same seeds: what a seed does to both then cancels. Else over all seeds of both as
    independent samples, with Welch's degrees of freedom.
    """
    if first.keys() == second.keys() and len(first) > 1:
        spread = summarise([second[seed] - first[seed] for seed in first])
        return Difference(fmean(first.values()), fmean(second.values()), spread.mean, spread.ci95, len(first))
    one, other = summarise(list(first.values())), summarise(list(second.values()))
    return Difference(one.mean, other.mean, other.mean - one.mean, welch_interval(first, second), 0)


def shared_difference(first: Mapping[int, float], second: Mapping[int, float]) -> Difference | None:
    """The paired difference over the seeds that both have; None where these are all seeds, or fewer than two."""
    shared = [seed for seed in first if seed in second]
    if len(shared) < 2 or first.keys() == second.keys():
        return None
    return difference_of({seed: first[seed] for seed in shared}, {seed: second[seed] for seed in shared})


def welch_interval(first: Mapping[int, float], second: Mapping[int, float]) -> tuple[float, float] | None:
    """The 95 % interval of a difference of independent means; None for fewer than two values on a side."""
    one, other = summarise(list(first.values())), summarise(list(second.values()))
    if one.std is None or other.std is None:
        return None
    difference, parts = other.mean - one.mean, (one.std**2 / one.n, other.std**2 / other.n)
    if not sum(parts):
        return difference, difference
    df = welch_degrees(parts, (one.n, other.n))
    half = student_quantile(0.975, df) * sqrt(sum(parts))
    return difference - half, difference + half


def contrast(first: Group, second: Group) -> dict[str, Any]:
    """The object of `pgolf compare --json`."""
    scores = difference_of(by_seed(first), by_seed(second))
    shared = shared_difference(by_seed(first), by_seed(second))
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


def by_seed(group: Group) -> dict[int, float]:
    """Headline bits per byte by seed."""
    return {row.seed: row.val_bpb for row in group.rows}


def differing_keys(first: Group, second: Group) -> dict[str, tuple[Any, Any]]:
    """Keys that not both groups have with one value, and both values."""
    specs = settings_of(first), settings_of(second)
    keys = [key for key in {**specs[0], **specs[1]} if not is_shared(key, specs)]
    return {key: (specs[0].get(key), specs[1].get(key)) for key in keys}


def settings_of(group: Group) -> dict[str, Any]:
    """What is known of how a group was made: its spec, or what its logs print of hyperparameters."""
    if isinstance(group, RunGroup) and group.rows:
        first = group.rows[0].result
        return group.settings | {key: first.get(key) for key in ("code_sha256", "data_sha256")}
    if isinstance(group, RecordGroup) and group.rows:
        run = group.rows[0].run
        return {"parameters": run.parameters, "wallclock_limit": run.wallclock_limit, **run.settings}
    return {}


def stages_of(first: Group, second: Group) -> list[dict[str, Any]]:
    """The stages that all seeds of both have, in order, with their difference."""
    sides = [{row.seed: dict(row.stages()) for row in group.rows} for group in (first, second)]
    names = [name for name, _ in common_stages([*first.rows, *second.rows])]
    found = []
    for name in names:
        values = [{seed: stages[name] for seed, stages in side.items()} for side in sides]
        found.append({"stage": name, **asdict(difference_of(*values))})
    return found


def quantities_of(first: Group, second: Group) -> dict[str, dict[str, float | None]]:
    """Means of bytes, steps, seconds and dollars; None where a seed does not tell."""
    found = {}
    for key in QUANTITIES:
        means = [mean_of(group.rows, key) for group in (first, second)]
        difference = None if means[0] is None or means[1] is None else means[1] - means[0]
        found[key] = {"first": means[0], "second": means[1], "difference": difference}
    return found


def mean_of(rows: Sequence[Row], key: str) -> float | None:
    """The mean of a fact over seeds; None where one of them does not have it."""
    values = [row.as_json()[key] for row in rows]
    return None if not values or None in values else fmean(values)


def per_thousandth(
    difference_bpb: float, quantities: Mapping[str, Mapping[str, float | None]]
) -> dict[str, float | None]:
    """What a thousandth of a bit per byte of the better side takes more of bytes, seconds and dollars than the other;
    negative where the better side takes less. None where it is not known, or there is no difference.
    """
    sign = -1 if difference_bpb < 0 else 1
    found: dict[str, float | None] = {}
    for key in ("total_bytes", "train_seconds", "evaluate_seconds", "usd"):
        more = quantities[key]["difference"]
        is_known = more is not None and difference_bpb != 0
        found[key] = -sign * more * THOUSANDTH / abs(difference_bpb) if is_known and more is not None else None
    return found
