"""Names for groups that share one, from the values in which their specs differ, as the points of a sweep do."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pgolf.specs.flat import flatten
from pgolf.specs.sweeps import label_of

# Parts of a spec that can make it another experiment.
PARTS = ("recipe", "program", "ruleset")
# Paths: a difference in content has a key or hash of its own.
PATHS = ("recipe.data.folder", "program.path", "program.files", "program.data")
# Values that a name takes, and that a page plots; specs that differ in more are no sweep that can be read.
MOST_KEYS = 6


def flat_spec(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a run's spec that can make another experiment, by dotted key."""
    flat = flatten({part: document[part] for part in PARTS if part in document})
    return {key: value for key, value in flat.items() if key not in PATHS}


def differing(specs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return each spec's values of the keys in which the specs differ."""
    keys = [key for key in dict.fromkeys(key for spec in specs for key in spec) if not is_shared(key, specs)]
    return [{key: spec[key] for key in keys if key in spec} for spec in specs]


def is_shared(key: str, specs: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether all specs have a key, with one value."""
    return all(key in spec and spec[key] == specs[0][key] for spec in specs)


def name_of(name: str, point: Mapping[str, Any], sha256: str) -> str:
    """Return a group's name extended by its values, or by its hash if they are none or too many."""
    return f"{name} {label_of(dict(point))}" if 0 < len(point) <= MOST_KEYS else f"{name} {sha256[:8]}"


def point_key(point: Mapping[str, Any]) -> str:
    """Return a text that is equal for equal points."""
    return json.dumps(point, sort_keys=True, default=str)


def sort_key(value: Any) -> tuple[bool, float, str]:
    """Return a sort key: numbers in their order, also those written as text, then everything else by name."""
    try:
        return False, float(value), ""
    except (TypeError, ValueError):
        return True, 0.0, str(value)
