"""Comparison of two groups: which settings differ, and by how much scores, bytes, time and cost differ.

Every difference is the second group minus the first.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from statistics import fmean
from typing import Any

from pgolf.records.problems import MIN_SETTINGS
from pgolf.records.rows import RecordGroup, RecordRow
from pgolf.report.groups import RunGroup
from pgolf.report.rows import Group, Row, row_keys, scores_by_seed
from pgolf.report.seed_rows import SeedRow
from pgolf.report.significance import alike_of, caveats
from pgolf.report.stages import common_stages
from pgolf.report.sweep_names import is_shared
from pgolf.statistics import Difference, difference_of, shared_difference, without_interval

THOUSANDTH = 0.001
QUANTITIES = ("model_bytes", "code_bytes", "total_bytes", "steps", "train_seconds", "evaluate_seconds", "usd")


def compare_groups(first: Group, second: Group) -> dict[str, Any]:
    """Return the object of `pgolf compare --json`."""
    scores = difference_of(scores_by_seed(first), scores_by_seed(second))
    shared = shared_difference(scores_by_seed(first), scores_by_seed(second))
    if are_alike := alike_of(first) is not None or alike_of(second) is not None:
        scores, shared = without_interval(scores), None
    quantities = quantities_of(first, second)
    return {
        "first": first.name,
        "second": second.name,
        **compare_settings(first, second),
        "val_bpb": asdict(scores),
        "headline_stage": headline_stage(first, second),
        "shared_seeds": None if shared is None else asdict(shared),
        "stages": stages_of(first, second, are_alike),
        "quantities": quantities,
        "per_thousandth": per_thousandth(scores, quantities),
        "seeds": {
            side: [row.as_json()["seed"] for row in group.rows]
            for side, group in (("first", first), ("second", second))
        },
        "caveats": [*caveats(first, second), *caveats_of_machines(first, second)],
    }


def renamed(group: Group, name: str) -> Group:
    """Return a group under another name, for two groups that have the same one."""
    assert isinstance(group, RunGroup | RecordGroup), "there are no other groups"
    return replace(group, name=name)


def compare_settings(first: Group, second: Group) -> dict[str, Any]:
    """Return both values of each key that differs, the keys that only one group has, and why keys are left out.

    A key that one group lacks has None there; None is also the value of a key that a spec sets to null.
    """
    groups, facts = (first, second), (facts_of(first), facts_of(second))
    found = {
        key: (facts[0][key], facts[1][key]) for key in facts[0] if key in facts[1] and facts[0][key] != facts[1][key]
    }
    settings = settings_of(first), settings_of(second)
    unknown = [group.name for group, known in zip(groups, settings, strict=True) if not known]
    note = f"the settings of {' and '.join(unknown)} are not known" if unknown else None
    if not unknown and not settings[0].keys() & settings[1].keys():
        note = "their settings have no key in common, so only what follows from results is compared"
    keys = [] if note else [key for key in {**settings[0], **settings[1]} if not is_shared(key, settings)]
    return {
        "keys": {key: (settings[0].get(key), settings[1].get(key)) for key in keys} | found,
        "only_first": [key for key in keys if key not in settings[1]],
        "only_second": [key for key in keys if key not in settings[0]],
        "keys_note": note,
    }


def settings_of(group: Group) -> dict[str, Any]:
    """Return the settings of a group: its spec, or the hyperparameters that its logs print; empty if not known.

    Of a record, settings that differ between seeds are left out.
    """
    if isinstance(group, RunGroup) and group.rows:
        parent = group.rows[0].result.get("parent")
        return group.settings | ({"from_checkpoint": parent["spec_sha256"]} if parent else {})
    logged = [row.run.settings for row in group.rows if isinstance(row, RecordRow)]
    if not logged or min(map(len, logged)) < MIN_SETTINGS:
        return {}
    return {key: value for key, value in logged[0].items() if is_shared(key, logged)}


def facts_of(group: Group) -> dict[str, Any]:
    """Return what results and logs state besides settings, without what is not known."""
    found: dict[str, Any] = {}
    first = group.rows[0] if group.rows else None
    if isinstance(first, SeedRow):
        found = {key: first.result.get(key) for key in ("parameters", "code_sha256", "data_sha256")}
    elif isinstance(first, RecordRow):
        found = {"parameters": first.run.parameters, "wallclock_limit": first.run.wallclock_limit}
    return {key: value for key, value in found.items() if value is not None}


def caveats_of_machines(first: Group, second: Group) -> Iterator[str]:
    """Yield a caveat if the groups are known to have run on different machines."""
    machines = [[machine_of(row) for row in group.rows] for group in (first, second)]
    known = [sorted({machine for machine in each if machine is not None}) for each in machines]
    if not all(is_same_machine(one, other) for one in known[0] for other in known[1]):
        listed = "; ".join(
            f"{group.name} {', '.join(f'{number} x {name}' for number, name in each)}"
            for group, each in zip((first, second), known, strict=True)
        )
        yield f"machines differ, so seconds do not compare: {listed}"


def machine_of(row: Row) -> tuple[int, str] | None:
    """Return number and names of the devices of a run, with a GPU's name or `cpu`; None if they are not known."""
    if isinstance(row, SeedRow):
        hardware = row.result.get("hardware")
        devices = (hardware["devices"] if hardware else []) or [row.result["environment"]["device"]]
        return len(devices), ", ".join(sorted(set(devices)))
    if isinstance(row, RecordRow) and row.run.gpus and row.run.world_size:
        return row.run.world_size, ", ".join(sorted(row.run.gpus))
    return None


def is_same_machine(one: tuple[int, str], other: tuple[int, str]) -> bool:
    """Return whether two machines have the same devices; logs shorten names, such as H100 for NVIDIA H100 80GB HBM3."""
    return one[0] == other[0] and (one[1] in other[1] or other[1] in one[1])


def stages_of(first: Group, second: Group, are_alike: bool) -> list[dict[str, Any]]:
    """Return the stages that all seeds of both groups have, in order, with their differences."""
    sides = [
        {key: dict(row.stages()) for key, row in zip(row_keys(group), group.rows, strict=True)}
        for group in (first, second)
    ]
    found = []
    for name, _ in common_stages([*first.rows, *second.rows]):
        one, other = ({key: stages[name] for key, stages in side.items()} for side in sides)
        difference = difference_of(one, other)
        found.append({"stage": name, **asdict(without_interval(difference) if are_alike else difference)})
    return found


def headline_stage(first: Group, second: Group) -> str | None:
    """Return the last common stage whose scores are the headline scores of all seeds; None if there is none."""
    rows = [*first.rows, *second.rows]
    names = [name for name, _ in common_stages(rows)]
    return next(
        (name for name in reversed(names) if all(dict(row.stages())[name] == row.val_bpb for row in rows)), None
    )


def quantities_of(first: Group, second: Group) -> dict[str, dict[str, float | None]]:
    """Return means of bytes, steps, seconds and dollars; None where a seed lacks the number."""
    found = {}
    for key in QUANTITIES:
        means = [mean_of(group.rows, key) for group in (first, second)]
        difference = None if means[0] is None or means[1] is None else means[1] - means[0]
        found[key] = {"first": means[0], "second": means[1], "difference": difference}
    return found


def mean_of(rows: Sequence[Row], key: str) -> float | None:
    """Return the mean of a number over seeds; None if a seed lacks it.

    A logged total that includes no code is not a total here: other groups' totals would not compare with it.
    """
    seeds = [row.as_json() for row in rows]
    needed = ("total_bytes", "code_bytes") if key == "total_bytes" else (key,)
    if not seeds or any(seed[each] is None for seed in seeds for each in needed):
        return None
    return fmean(seed[key] for seed in seeds)


def per_thousandth(scores: Difference, quantities: Mapping[str, Mapping[str, float | None]]) -> dict[str, float | None]:
    """Return the bytes, seconds and dollars that the better group spends for each 0.001 bpb of its advantage.

    Negative where the better group spends less. None where a number is not known, and where no group is clearly better:
    the scores are equal, or the interval of their difference contains zero.
    """
    found: dict[str, float | None] = {}
    for key in ("total_bytes", "train_seconds", "evaluate_seconds", "usd"):
        more = quantities[key]["difference"]
        is_known = more is not None and scores.has_clear_sign
        found[key] = 0.0 - more * THOUSANDTH / scores.difference if is_known and more is not None else None
    return found
