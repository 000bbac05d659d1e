"""Refusals that all points of a search share, against brute force over the points of small spaces."""

import random
from itertools import product
from typing import Any

import pytest

from pgolf.search.refusals import MOST_ENDS, Refusal, refusal_by_place, shared_refusal
from pgolf.specs.sweeps import Point, Range

WIDTHS = Range(low=8, high=40, whole=True)
RATES = Range(low=0.01, high=0.1, log=True)
DEVICE = Refusal("device", "there is no GPU")


def too_large(point: Point, limit: int) -> list[Refusal]:
    size = int(point["width"]) ** 2
    return [Refusal("artifact_size", f"{size} of {limit}")] if size > limit else []


@pytest.mark.parametrize(("limit", "is_shared"), [(60, True), (64, False), (400, False), (2000, False)])
def test_a_monotone_rule_is_shared_if_no_point_keeps_it(limit: int, is_shared: bool) -> None:
    """8 * 8 = 64 bytes is the smallest model."""
    none_fits = all(too_large({"width": width}, limit) for width in range(8, 41))
    assert none_fits == is_shared
    found = shared_refusal({"width": WIDTHS, "rate": RATES}, lambda point: too_large(point, limit))
    assert (found is not None) == is_shared
    assert found is None or found.rule == "artifact_size"


def test_a_refusal_whose_words_follow_the_values_is_not_shared() -> None:
    """Both ends and the middle are odd, but even widths may run."""

    def odd(point: Point) -> list[Refusal]:
        return [Refusal("spec", f"width {point['width']} is odd")] if point["width"] % 2 else []

    assert shared_refusal({"width": Range(low=9, high=41, whole=True)}, odd) is None
    assert str(shared_refusal({"width": [9, 11]}, odd)) == "width 11 is odd", "a finite space is examined as a whole"
    assert shared_refusal({"width": [9, 10, 11]}, odd) is None


def test_a_refusal_with_the_same_words_everywhere_is_shared() -> None:
    asked: list[Point] = []

    def examine(point: Point) -> list[Refusal]:
        asked.append(point)
        return [DEVICE, *too_large(point, 100)]

    assert shared_refusal({"width": WIDTHS, "rate": RATES}, examine) == DEVICE
    assert {(point["width"], point["rate"]) for point in asked} >= set(product((8, 40), (0.01, 0.1)))


def test_a_space_with_too_many_ends_shares_only_refusals_of_the_same_words() -> None:
    """Every value of every key is examined, but not every combination, so a size proves nothing."""
    values: dict[str, Any] = {f"key{number}": [*range(5)] for number in range(6)} | {"width": WIDTHS}
    asked: list[Point] = []

    def examine(point: Point) -> list[Refusal]:
        asked.append(point)
        return too_large(point, 60)

    assert shared_refusal(values, examine) is None
    asked.clear()
    assert shared_refusal(values, lambda point: [*examine(point), DEVICE]) == DEVICE
    assert len(asked) < MOST_ENDS
    assert all({point[f"key{number}"] for point in asked} == {0, 1, 2, 3, 4} for number in range(6))


def test_random_finite_spaces_are_refused_only_if_every_point_is() -> None:
    chance = random.Random(3)
    for _ in range(300):
        refused: set[tuple[int, ...]] = {point for point in product(range(3), range(3)) if chance.random() < 0.95}

        def examine(point: Point, refused: set[tuple[int, ...]] = refused) -> list[Refusal]:
            return [Refusal("rule", f"{point}")] if tuple(point.values()) in refused else []

        found = shared_refusal({"a": [0, 1, 2], "b": [0, 1, 2]}, examine)
        assert (found is not None) == (len(refused) == 9)


def test_a_proposer_that_may_change_anything_is_stopped_by_the_place_only() -> None:
    assert refusal_by_place(lambda _: [Refusal("artifact_size", "too large")]) is None
    assert refusal_by_place(lambda _: [Refusal("artifact_size", "too large"), DEVICE]) == DEVICE
