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


@pytest.mark.parametrize(("progress", "expected"), [(0.1, 1.0), (0.575, 0.5), (0.915, 0.1), (0.95, 0.1), (1.0, 0.1)])
def test_a_clamped_warmdown_runs_to_zero_and_is_held_before(progress: float, expected: float) -> None:
    """At a fraction of 0.85 the last 8.5 % are held, and the mean multiplier is 0.5793; with a floor it is 0.6175."""
    text = "{kind: clamped_warmdown, clock: steps, fraction: 0.85, clamp: 0.1, batch_tokens: 64, sequence_tokens: 16}"
    schedule = small_recipe(schedule=text).schedule
    assert schedule.multiplier(progress) == pytest.approx(expected)
    mean = sum(schedule.multiplier((step + 0.5) / 10_000) for step in range(10_000)) / 10_000
    assert mean == pytest.approx(0.57925, abs=1e-5)


def test_a_fraction_of_zero_has_no_warmdown() -> None:
    assert small_recipe(schedule__fraction=0).schedule.multiplier(1.0) == 1.0
