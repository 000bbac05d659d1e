"""Comparison of two groups: which settings differ, and by how much scores, bytes, time and cost differ.

Every difference is the second group minus the first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any

from pgolf.records.rows import RecordGroup
from pgolf.report.groups import RunGroup
from pgolf.report.rows import Group, Row
from pgolf.report.significance import caveats
from pgolf.report.stages import common_stages
from pgolf.report.sweep_names import is_shared
from pgolf.statistics import difference_of, shared_difference

THOUSANDTH = 0.001
QUANTITIES = ("model_bytes", "code_bytes", "total_bytes", "steps", "train_seconds", "evaluate_seconds", "usd")


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
