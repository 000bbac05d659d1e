"""Mean, spread, intervals and tests, against numpy and scipy."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pgolf.statistics import difference_of, paired_test, shared_difference, student_quantile, summarise, welch_test

samples = st.lists(st.floats(0.9, 1.3).map(lambda value: round(value, 8)), min_size=2, max_size=8, unique=True)


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


@given(samples, samples, st.sampled_from([0.0, 0.002, 0.05]))
def test_welch_test_matches_scipy(new: list[float], old: list[float], margin: float) -> None:
    found = welch_test(new, old, margin)
    expected: Any = stats.ttest_ind(new, [value - margin for value in old], equal_var=False, alternative="less")
    assert found.t == pytest.approx(expected.statistic, rel=1e-9, abs=1e-12)
    assert found.df == pytest.approx(expected.df, rel=1e-9)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-7, abs=1e-300)


@given(
    st.dictionaries(st.integers(0, 5), st.floats(0.9, 1.3), min_size=2),
    st.dictionaries(st.integers(0, 5), st.floats(0.9, 1.3), min_size=2),
)
def test_paired_test_matches_scipy_over_shared_seeds(new: dict[int, float], old: dict[int, float]) -> None:
    shared = [seed for seed in new if seed in old]
    found = paired_test(new, old)
    if len(shared) < 2:
        assert found is None
        return
    assert found is not None
    differences = [new[seed] - old[seed] for seed in shared]
    if len({round(difference, 9) for difference in differences}) < 2:
        return  # scipy returns NaN without spread
    expected: Any = stats.ttest_rel([new[s] for s in shared], [old[s] for s in shared], alternative="less")
    assert found[0] == len(shared)
    assert found[1].p == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-300)


def test_equal_seeds_are_paired_like_scipy() -> None:
    first, second = {1: 1.10, 2: 1.13, 3: 1.09}, {3: 1.07, 1: 1.085, 2: 1.128}
    found = difference_of(first, second)
    seeds = [1, 2, 3]
    judge = stats.ttest_rel([second[seed] for seed in seeds], [first[seed] for seed in seeds]).confidence_interval(0.95)
    assert found.pairs == 3
    assert found.ci95 == pytest.approx((judge.low, judge.high), rel=1e-9)
    assert found.difference == pytest.approx(np.mean([second[seed] - first[seed] for seed in seeds]))
    assert shared_difference(first, second) is None


def test_partly_shared_seeds_give_a_difference_of_all_and_one_of_the_shared() -> None:
    first = {1: 1.10, 2: 1.11, 3: 1.12, 4: 1.13, 5: 1.14}
    second = {1: 1.0, 2: 1.02, 6: 1.5, 7: 1.5, 8: 1.5}
    found, shared = difference_of(first, second), shared_difference(first, second)
    assert found.difference == pytest.approx(1.304 - 1.12)
    assert shared is not None
    assert shared.pairs == 2
    assert shared.difference == pytest.approx(-0.095)


def test_different_seeds_are_independent_samples_with_welchs_interval() -> None:
    first, second = {1: 1.10, 2: 1.13, 3: 1.09}, {7: 1.07, 8: 1.085, 9: 1.01, 10: 1.03}
    found = difference_of(first, second)
    judge = stats.ttest_ind([*second.values()], [*first.values()], equal_var=False).confidence_interval(0.95)
    assert found.pairs == 0
    assert found.ci95 == pytest.approx((judge.low, judge.high), rel=1e-9)


def test_one_seed_gives_a_difference_without_an_interval() -> None:
    assert difference_of({1: 1.1}, {1: 1.0}).ci95 is None
    assert difference_of({1: 1.1}, {1: 1.0}).difference == pytest.approx(-0.1)


def test_p_is_0_or_1_without_spread() -> None:
    assert welch_test([1.0, 1.0], [1.1, 1.1]).p == 0.0
    assert welch_test([1.1, 1.1], [1.1, 1.1]).p == 1.0
