"""The learning-rate multiplier over a run."""

import pytest

from tests.trainer.small import small_recipe


@pytest.mark.parametrize(
    ("progress", "expected"), [(0.0, 1.0), (0.6, 1.0), (0.8, 0.5), (0.9, 0.25), (1.0, 0.0), (1.5, 0.0)]
)
def test_the_multiplier_is_constant_then_linear(progress: float, expected: float) -> None:
    assert small_recipe(schedule__fraction=0.4).schedule.multiplier(progress) == pytest.approx(expected)


def test_the_multiplier_ends_at_the_floor() -> None:
    schedule = small_recipe(schedule__fraction=0.5, schedule__floor=0.1).schedule
    assert schedule.multiplier(0.75) == pytest.approx(0.55)
    assert schedule.multiplier(1.0) == pytest.approx(0.1)


def test_a_fraction_of_zero_has_no_warmdown() -> None:
    assert small_recipe(schedule__fraction=0).schedule.multiplier(1.0) == 1.0
