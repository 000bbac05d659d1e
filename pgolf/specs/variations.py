"""The changes by which one document becomes the specs of a sweep, whether a file or the command line asks for it."""

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pgolf.specs.merging import as_node, assign, parse_assignment
from pgolf.specs.paths import absolute_paths
from pgolf.specs.sweeps import Point, alternatives_of, read_sweep
from pgolf.specs.yaml_documents import Node


@dataclass(frozen=True, slots=True)
class Variation:
    """One of the specs: what is merged on top of the document, and in what it differs from the others."""

    point: Point
    changes: list[Node]


def variations(sweep: Node | None, folder: Path, assignments: Sequence[str]) -> Iterator[Variation]:
    """Each point of a sweep, with each combination of the values that assignments give; one without either.

    Assignments come last. Where one gives a key a single value, the sweep no longer varies it.
    Raises: SpecError.
    """
    points: list[Point] = [{}] if sweep is None else read_sweep(sweep.plain(), str(sweep.place))
    alternatives = [alternatives_of(assignment) for assignment in assignments]
    seen: set[str] = set()
    for point in points:
        for chosen in itertools.product(*(each.arguments for each in alternatives)):
            changes = [absolute_paths(parse_assignment(argument), Path.cwd()) for argument in chosen]
            given = {each.key: value_at(change, each.key) for each, change in zip(alternatives, changes, strict=True)}
            varied = {key for key in point if key not in given} | {each.key for each in alternatives if each.is_several}
            own = {key: value for key, value in (point | given).items() if key in varied}
            if (written := json.dumps(own, sort_keys=True)) in seen:
                continue
            seen.add(written)
            below = [] if sweep is None else [change_of(key, point[key], sweep, folder) for key in point]
            yield Variation(own, [*below, *changes])


def change_of(key: str, value: Any, sweep: Node, folder: Path) -> Node:
    """What a point changes at a key, placed where the sweep stands."""
    return absolute_paths(assign(key, as_node(value, sweep.place)), folder)


def value_at(change: Node, key: str) -> Any:
    """The value that an assignment gives to its key."""
    for part in key.split("."):
        change = change.value[part]
    return change.plain()
