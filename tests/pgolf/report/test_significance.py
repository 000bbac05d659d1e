"""Significance tests, compared with scipy."""

from dataclasses import dataclass
from typing import Any

import pytest
from scipy import stats

from pgolf.findings import Finding
from pgolf.report.significance import assess_significance, describe_significance, more_seeds_needed
from pgolf.rulesets.ruleset import load_ruleset

RULES = load_ruleset("parameter_golf")


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

    def problems(self) -> list[Finding]:
        return []


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
