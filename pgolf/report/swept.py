"""Groups of one name told apart by the values in which their specs differ, as the points of a sweep do."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pgolf.rundir import read_or_empty
from pgolf.specs.flat import flatten
from pgolf.specs.sweeps import label_of

# What of a spec can make another experiment.
PARTS = ("recipe", "program", "ruleset")
# What says the same of other places; a difference in content has its own key or hash.
NO_DIFFERENCE = ("recipe.data.folder", "program.path", "program.files", "program.data")
MOST_KEYS = 6


def flat_spec(spec_json: Path) -> dict[str, Any]:
    """Values of a run's spec by dotted key, those that can make another experiment."""
    document = read_or_empty(spec_json)
    flat = flatten({part: document[part] for part in PARTS if part in document})
    return {key: value for key, value in flat.items() if key not in NO_DIFFERENCE}


def differing(specs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Of several specs the values of the keys that not all have alike; empty where there are too many to name."""
    keys = [key for key in dict.fromkeys(key for spec in specs for key in spec) if not is_shared(key, specs)]
    if len(keys) > MOST_KEYS:
        return [{} for _ in specs]
    return [{key: spec[key] for key in keys if key in spec} for spec in specs]


def is_shared(key: str, specs: Sequence[Mapping[str, Any]]) -> bool:
    """Whether all specs have a key, with one value."""
    return all(key in spec and spec[key] == specs[0][key] for spec in specs)


def name_of(name: str, point: Mapping[str, Any], sha256: str) -> str:
    """A group's name beside others of that name: with its values, or with its hash where these do not tell."""
    return f"{name} {label_of(dict(point))}" if point else f"{name} {sha256[:8]}"


def order(value: Any) -> tuple[bool, float, str]:
    """What to sort values by: numbers in their order, scripts' variables among them, then everything else by name."""
    try:
        return False, float(value), ""
    except (TypeError, ValueError):
        return True, 0.0, str(value)
