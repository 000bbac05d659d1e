"""Refusals that all points of a search share, found by asking preflight about the ends of the space."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import ceil, floor, pi, prod, sqrt
from typing import Any

from pgolf.specs.sweeps import Point, Range

# Most ends of a space that are all examined. In a larger one each value of each key is examined once.
MOST_ENDS = 32
# What these rules limit grows or shrinks with each value: what fails at all ends of the space fails between them.
MONOTONE_RULES = frozenset({"artifact_size", "memory", "disk", "spend"})
# Rules about where a run happens, which no value of a recipe and no variable of a script can change.
PLACE_RULES = frozenset({"device", "credentials", "machine", "libraries_there", "disk_there", "files", "stop_rule"})
# The rule of a spec that is not valid.
INVALID = "spec"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a point cannot run."""

    rule: str
    """Of preflight; `INVALID` for a spec that is not valid."""
    message: str
    """Without the place of a value, so that it is the same wherever the value does not matter."""
    fix: str | None = None

    def __str__(self) -> str:
        fix = "" if self.fix is None else f"; fix: {self.fix}"
        return f"{self.message if self.rule == INVALID else f'{self.rule}: {self.message}'}{fix}"


Examine = Callable[[Point], Sequence[Refusal]]
"""Returns the refusals of a point; none if it may run."""


def shared_refusal(values: Mapping[str, Range | list[Any]], examine: Examine) -> Refusal | None:
    """Return a refusal that all points of a space share; None if a point may run, or if none is known to be shared.

    A refusal is shared if it has the same words at all ends of the space: the values do not matter to it. One by a
    monotone rule is shared whatever its words, if all ends were examined. If all points were examined and none may run,
    the first refusal stands for all.
    """
    ends = {key: ends_of(source) for key, source in values.items()}
    are_all = prod(map(len, ends.values())) <= MOST_ENDS
    is_complete = are_all and all(isinstance(source, list) for source in values.values())
    shared: dict[tuple[str, ...], Refusal] = {}
    for number, point in enumerate(probes(values, ends, are_all=are_all)):
        found = {key_of(refusal, are_all=are_all): refusal for refusal in examine(point)}
        if not found:
            return None
        if number == 0:
            shared = found
        elif not is_complete:
            shared = {key: refusal for key, refusal in shared.items() if key in found}
        if not shared:
            return None
    return min(shared.values(), key=lambda refusal: refusal.rule != "data")  # missing data is the cause of others


def key_of_whole_numbers(values: Mapping[str, Range | list[Any]], examine: Examine) -> str | None:
    """Return a key that takes whole numbers only, although its range is not marked `whole`; None if there is none."""
    middle = {key: middle_of(source) for key, source in values.items()}
    for key, source in values.items():
        if isinstance(source, list) or source.whole:
            continue
        fraction = source.low + (source.high - source.low) / pi
        whole = {ceil(source.low), round(fraction), floor(source.high)}
        if is_invalid(middle | {key: fraction}, examine) and any(
            not is_invalid(middle | {key: number}, examine) for number in whole
        ):
            return key
    return None


def is_invalid(point: Point, examine: Examine) -> bool:
    """Return whether a point makes no valid spec."""
    return any(refusal.rule == INVALID for refusal in examine(point))


def refusal_by_place(examine: Examine) -> Refusal | None:
    """Return a refusal that holds whatever a proposal changes; None if none is known."""
    return next((refusal for refusal in examine({}) if refusal.rule in PLACE_RULES), None)


def key_of(refusal: Refusal, *, are_all: bool) -> tuple[str, ...]:
    """Return what two refusals must have in common to be the same."""
    is_monotone = are_all and refusal.rule in MONOTONE_RULES
    return (refusal.rule,) if is_monotone else (refusal.rule, refusal.message)


def probes(
    values: Mapping[str, Range | list[Any]], ends: Mapping[str, Sequence[Any]], *, are_all: bool
) -> Iterator[Point]:
    """Yield the middle of a space, which most often may run, then its ends."""
    yield {key: middle_of(source) for key, source in values.items()}
    if are_all:
        yield from (dict(zip(ends, point, strict=True)) for point in product(*ends.values()))
    else:
        for number in range(max(map(len, ends.values()))):
            yield {key: each[number % len(each)] for key, each in ends.items()}


def ends_of(source: Range | list[Any]) -> Sequence[Any]:
    """Return both ends of a range, or all choices."""
    if isinstance(source, list):
        return source
    return (ceil(source.low), floor(source.high)) if source.whole else (source.low, source.high)


def middle_of(source: Range | list[Any]) -> Any:
    """Return the middle of a range, on its own scale, or the middle choice."""
    if isinstance(source, list):
        return source[len(source) // 2]
    middle = sqrt(source.low * source.high) if source.log else (source.low + source.high) / 2
    return round(middle) if source.whole else float(f"{middle:.6g}")
