"""Significance tests, compared with scipy."""

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pgolf.findings import Finding
from pgolf.report.significance import (
    assess_significance,
    describe_significance,
    more_seeds_needed,
    paired_test,
    welch_test,
)
from pgolf.rulesets.ruleset import load_ruleset

RULES = load_ruleset("parameter_golf")
samples = st.lists(st.floats(0.9, 1.3).map(lambda value: round(value, 8)), min_size=2, max_size=8, unique=True)


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


def test_more_seeds_needed_is_the_smallest_number_that_reaches_the_threshold() -> None:
    """By brute force: the part of the new group's variance shrinks with its number."""
    new, old = [1.0801, 1.0795, 1.0806], [1.0811, 1.0808, 1.0816]
    more = more_seeds_needed(new, old, 0.0, 0.012)
    assert more is not None
    assert more > 0
    n, var_new, var_old = len(new), stats.tvar(new), stats.tvar(old)
    for extra, expected in ((more - 1, False), (more, True)):
        a, b = var_new / (n + extra), var_old / len(old)
        df = (a + b) ** 2 / (a**2 / (n + extra - 1) + b**2 / (len(old) - 1))
        t = (sum(new) / n - sum(old) / len(old)) / (a + b) ** 0.5
        assert (stats.t.cdf(t, df) < 0.012) == expected
    assert more_seeds_needed(old, new, 0.0, 0.01) is None


@dataclass
class Row:
    seed: int
    val_bpb: float

    @property
    def val_loss(self) -> float:
        return self.val_bpb * 2.5831

    def problems(self) -> list[Finding]:
        return []


@dataclass
class Group:
    name: str
    rows: list[Row]
    is_over_limit: bool = False

    def as_json(self) -> dict[str, Any]:
        return {"seeds": [{"stage": "ttt", "protocol": "sliding"} for _ in self.rows]}


def group(name: str, scores: list[float]) -> Any:
    return Group(name, [Row(seed, score) for seed, score in enumerate(scores)])


def test_significance_has_both_rules_in_bpb_and_nats() -> None:
    found = assess_significance(
        group("new", [1.0800, 1.0803, 1.0798]), group("old", [1.0810, 1.0812, 1.0809]), RULES.significance
    )
    assert found["delta_bpb"] == pytest.approx(-0.001)
    assert found["delta_nats"] == pytest.approx(-0.001 * 2.5831)
    assert found["margin_bpb"] == pytest.approx(0.005 / 2.5831)
    assert found["nats"]["p_one_sided"] == pytest.approx(found["p_one_sided"], rel=1e-9)
    assert found["nats"]["p_with_margin"] == pytest.approx(found["p_with_margin"], rel=1e-9)
    assert (found["practice"], found["strict"], found["more_seeds_for_strict"]) == (True, False, None)
    assert found["paired"]["n"] == 3
    assert "up to 100 seeds at this mean and spread would not meet it" in " ".join(describe_significance("new", found))


def test_p_is_0_or_1_without_spread() -> None:
    assert welch_test([1.0, 1.0], [1.1, 1.1]).p == 0.0
    assert welch_test([1.1, 1.1], [1.1, 1.1]).p == 1.0
