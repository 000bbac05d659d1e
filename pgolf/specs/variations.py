"""Expands a sweep, given in a file or on the command line, into the changes that make each of its specs."""

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pgolf.specs.merging import as_node, nest, parse_assignment
from pgolf.specs.paths import absolute_paths
from pgolf.specs.sweeps import Point, alternatives_of, read_sweep
from pgolf.specs.yaml_documents import Node


@dataclass(frozen=True, slots=True)
class Variation:
    """One spec of a sweep."""

    point: Point
    """The values in which it differs from the others."""
    changes: list[Node]
    """The documents to merge on top of the spec."""


def variations(sweep: Node | None, folder: Path, assignments: Sequence[str]) -> Iterator[Variation]:
    """Yield each point of a sweep combined with each combination of the assignments' values; at least one variation.

    Assignments override the sweep: a key that is assigned a single value no longer varies.

    Raises:
        SpecError: a sweep or an assignment is invalid; gives its place.
    """
    points: list[Point] = [{}] if sweep is None else read_sweep(sweep.plain(), str(sweep.place))
    alternatives = [alternatives_of(assignment) for assignment in assignments]
    seen: set[str] = set()
    for point in points:
        for chosen in itertools.product(*(each.arguments for each in alternatives)):
            changes = [absolute_paths(parse_assignment(argument), Path.cwd()) for argument in chosen]
            given = {each.key: value_at(change, each.key) for each, change in zip(alternatives, changes, strict=True)}
            varied = {key for key in point if key not in given}
            varied |= {each.key for each in alternatives if each.has_several}
            own = {key: value for key, value in (point | given).items() if key in varied}
            if (written := json.dumps(own, sort_keys=True)) in seen:
                continue
            seen.add(written)
            below = [] if sweep is None else [change_of(key, point[key], sweep, folder) for key in point]
            yield Variation(own, [*below, *changes])


def change_of(key: str, value: Any, sweep: Node, folder: Path) -> Node:
    """Return a point's change of one key, placed at the sweep."""
    return absolute_paths(nest(key, as_node(value, sweep.place)), folder)


def value_at(change: Node, key: str) -> Any:
    """Return the value of a key in an assignment's document."""
    for part in key.split("."):
        change = change.value[part]
    return change.plain()
