"""Training curves of two groups, compared at equal steps, equal tokens and equal seconds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from pgolf.report.rows import Group, Row
from pgolf.report.seed_rows import SeedRow
from pgolf.report.significance import have_same_tokenizer

AXES = {"step": "steps", "tokens": "tokens", "elapsed_seconds": "seconds"}
MEASURES = {"train_bpb": "bits per byte", "train_loss": "nats per token"}
PLACES = 8
# Single losses are noisy: this share of the axis is averaged on either side of a place.
HALF_WINDOW = 0.03
# Between two points, the later at most this many times as far as the earlier, a loss is close to a straight line.
INTERPOLATED_RATIO = 2.0
Curve = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Curves:
    """Mean curves of two groups over the part of an axis that all their seeds cover."""

    axis: str
    measure: str
    """`train_bpb`, or `train_loss` if a seed has no bits per byte."""
    at: list[float]
    first: list[float]
    second: list[float]

    def as_json(self) -> dict[str, Any]:
        rows = zip(self.at, self.first, self.second, strict=True)
        return {
            "axis": self.axis,
            "measure": self.measure,
            "rows": [{"at": at, "first": one, "second": two, "difference": two - one} for at, one, two in rows],
        }


def compare_curves(first: Group, second: Group, on_skip: Callable[[str], None], places: int = PLACES) -> list[Curves]:
    """Return the curves over each axis that all seeds of both groups have.

    Args:
        on_skip: Called with the reason for each axis whose curves do not compare.
    """
    found = []
    for axis, name in AXES.items():
        measure, sides = next(
            (
                (measure, sides)
                for measure in MEASURES
                if all(map(is_logged, sides := [curves_of(group, axis, measure) for group in (first, second)]))
            ),
            (None, []),
        )
        if measure is None:
            on_skip(f"no curves at equal {name}: not all seeds of both groups log a training loss with its {name}")
        elif measure == "train_loss" and not have_same_tokenizer(first, second):
            on_skip(f"no curves at equal {name}: the tokenizers differ, and {measure} is in {MEASURES[measure]}")
        elif (curves := side_by_side(name, measure, sides, places)).at:
            found.append(curves)
        else:
            on_skip(f"no curves at equal {name}: the losses are logged too far apart")
    return found


def curves_of(group: Group, axis: str, measure: str) -> list[Curve]:
    """Return the curve of each seed."""
    return [curve_of(row, axis, measure) for row in group.rows]


def is_logged(curves: Sequence[Curve]) -> bool:
    """Return whether there are seeds, and each has at least two points."""
    return bool(curves) and all(len(each) > 1 for each in curves)


def curve_of(row: Row, axis: str, measure: str) -> Curve:
    """Return a seed's loss along an axis; empty if the seed did not log both."""
    if isinstance(row, SeedRow):
        return logged_points(row.metrics, axis, measure)
    return row.curve() if (axis, measure) == ("step", "train_loss") else []


def logged_points(metrics: Sequence[Mapping[str, Any]], axis: str, measure: str) -> Curve:
    """Return the points of the metrics rows that have both numbers."""
    return [(float(row[axis]), float(row[measure])) for row in metrics if axis in row and measure in row]


def side_by_side(axis: str, measure: str, sides: list[list[Curve]], places: int) -> Curves:
    """Return means at equal places, from where all curves have begun to where the first one ends.

    Places between points that are too far apart are left out.
    """
    every = [each for side in sides for each in side]
    begin, end = max(each[0][0] for each in every), min(each[-1][0] for each in every)
    half = HALF_WINDOW * (end - begin)
    at = [begin + (end - begin) * (number + 1) / places for number in range(places)] if end > begin else []
    at = [place for place in at if all(is_covered(each, place, half) for each in every)]
    means = [[fmean(mean_near(each, place, half) for each in side) for place in at] for side in sides]
    return Curves(axis, measure, at, *means)


def is_covered(values: Curve, place: float, half: float) -> bool:
    """Return whether a curve has a point within `half` of a place, or neighbours close enough to interpolate."""
    if any(abs(at - place) <= half for at, _ in values):
        return True
    before, after = neighbours_of(values, place)
    return after[0] <= INTERPOLATED_RATIO * before[0]


def mean_near(values: Curve, place: float, half: float) -> float:
    """Return the mean of a curve within `half` of a place; if no point lies there, interpolate its neighbours."""
    inside = [loss for at, loss in values if abs(at - place) <= half]
    if inside:
        return fmean(inside)
    before, after = neighbours_of(values, place)
    share = 0.0 if after[0] == before[0] else (place - before[0]) / (after[0] - before[0])
    return before[1] + share * (after[1] - before[1])


def neighbours_of(values: Curve, place: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the points of a curve before and after a place; its first or last point where there is none."""
    before = max((point for point in values if point[0] <= place), default=values[0])
    after = min((point for point in values if point[0] >= place), default=values[-1])
    return before, after
