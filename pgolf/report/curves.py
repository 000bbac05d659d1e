"""Training curves of two groups, compared at equal steps, equal tokens and equal seconds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from pgolf.report.rows import Group, Row
from pgolf.report.seed_rows import SeedRow

AXES = {"step": "steps", "tokens": "tokens", "elapsed_seconds": "seconds"}
PLACES = 8
# Single losses are noisy: this share of the axis is averaged on either side of a place.
HALF_WINDOW = 0.03
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


def compare_curves(first: Group, second: Group, places: int = PLACES) -> list[Curves]:
    """Return the curves over each axis that all seeds of both groups have."""
    found = []
    for axis in AXES:
        for measure in ("train_bpb", "train_loss"):
            sides = [[curve_of(row, axis, measure) for row in group.rows] for group in (first, second)]
            if all(side and all(len(each) > 1 for each in side) for side in sides):
                found.append(side_by_side(axis, measure, sides, places))
                break
    return found


def curve_of(row: Row, axis: str, measure: str) -> Curve:
    """Return a seed's loss along an axis; empty if the seed did not log both."""
    if isinstance(row, SeedRow):
        return logged_points(row.metrics, axis, measure)
    return row.curve() if (axis, measure) == ("step", "train_loss") else []


def logged_points(metrics: Sequence[Mapping[str, Any]], axis: str, measure: str) -> Curve:
    """Return the points of the metrics rows that have both numbers."""
    return [(float(row[axis]), float(row[measure])) for row in metrics if axis in row and measure in row]


def side_by_side(axis: str, measure: str, sides: list[list[Curve]], places: int) -> Curves:
    """Return means at equal places, from where all curves have begun to where the first one ends."""
    every = [each for side in sides for each in side]
    begin, end = max(each[0][0] for each in every), min(each[-1][0] for each in every)
    at = [begin + (end - begin) * (number + 1) / places for number in range(places)] if end > begin else []
    half = HALF_WINDOW * (end - begin)
    means = [[fmean(mean_near(each, place, half) for each in side) for place in at] for side in sides]
    return Curves(AXES[axis], measure, at, *means)


def mean_near(values: Curve, place: float, half: float) -> float:
    """Return the mean of a curve within `half` of a place; if no point lies there, interpolate its neighbours."""
    inside = [loss for at, loss in values if abs(at - place) <= half]
    if inside:
        return fmean(inside)
    before = max((point for point in values if point[0] <= place), default=values[0])
    after = min((point for point in values if point[0] >= place), default=values[-1])
    share = 0.0 if after[0] == before[0] else (place - before[0]) / (after[0] - before[0])
    return before[1] + share * (after[1] - before[1])
