"""Mean, spread and interval against numpy and scipy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pgolf.statistics import student_quantile, summarise


@pytest.mark.parametrize(
    "values", [[1.2244, 1.2251], [1.1, 1.2, 1.3], [1.08214, 1.08219, 1.08201, 1.0822, 1.0825], [1e-3, 5.0, 2.0, 2.5]]
)
def test_mean_deviation_and_interval_match_numpy_and_scipy(values: list[float]) -> None:
    spread = summarise(values)
    low, high = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
    assert spread.n == len(values)
    assert spread.mean == pytest.approx(float(np.mean(values)), rel=1e-14)
    assert spread.std == pytest.approx(float(np.std(values, ddof=1)), rel=1e-12)
    assert spread.ci95 == pytest.approx((float(low), float(high)), rel=1e-10)


@settings(deadline=None)
@given(st.lists(st.floats(0.1, 10), min_size=2, max_size=30))
def test_the_interval_is_symmetric_around_the_mean(values: list[float]) -> None:
    spread = summarise(values)
    assert spread.ci95 is not None
    low, high = spread.ci95
    assert low <= spread.mean <= high
    assert high - spread.mean == pytest.approx(spread.mean - low, abs=1e-9)


def test_one_value_has_no_spread() -> None:
    spread = summarise([1.25])
    assert (spread.n, spread.mean, spread.std, spread.ci95) == (1, 1.25, None, None)


def test_equal_values_have_a_spread_of_zero() -> None:
    spread = summarise([1.5, 1.5, 1.5])
    assert (spread.std, spread.ci95) == (0.0, (1.5, 1.5))


@pytest.mark.parametrize("degrees", [1, 2, 4, 9, 30])
@pytest.mark.parametrize("probability", [0.5, 0.9, 0.975, 0.995])
def test_quantiles_of_t_match_scipy(probability: float, degrees: int) -> None:
    assert student_quantile(probability, degrees) == pytest.approx(float(stats.t.ppf(probability, degrees)), abs=1e-9)
