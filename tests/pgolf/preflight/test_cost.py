"""Costs against sums by hand."""

from pathlib import Path

import pytest

from pgolf.errors import UsageError
from pgolf.preflight.cost import OVERHEAD_SECONDS, affordable_seconds, estimate_usd, read_prices, usd_per_hour
from pgolf.preflight.duration import DurationEstimate
from pgolf.preflight.rules import spend
from pgolf.specs.parts import Launch

TEN_MINUTES_EACH = DurationEstimate(600.0, 600.0, "stated")


def test_eight_h100_cost_their_table_price_and_their_cores() -> None:
    assert usd_per_hour(Launch(on="modal", gpu="H100!:8")) == pytest.approx(8 * 3.9492 + 32 * 0.04716)


def test_a_group_costs_its_runs_with_scoring_and_overhead() -> None:
    hourly = 8 * 3.9492 + 32 * 0.04716
    expected = 3 * hourly * (1200 + OVERHEAD_SECONDS) / 3600
    assert estimate_usd(Launch(on="modal", gpu="H100!:8"), TEN_MINUTES_EACH, 3) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("launch", "expected"),
    [
        (Launch(), 0.0),
        (Launch(on="elsewhere"), None),
        (Launch(on="modal", gpu="H9000:8"), None),
        (Launch(on="ssh", options={"host": "box"}), None),
        (Launch(on="ssh", options={"host": "pod", "usd_per_hour": 2.5}), 2.5),
        (Launch(on="modal", options={"cores": 2, "memory_gib": 10}), 2 * 0.04716 + 10 * 0.008),
        (Launch(on="modal", options={"cores": 2, "region": "us-east"}), 1.75 * 2 * 0.04716),
    ],
)
def test_hourly_prices(launch: Launch, expected: float | None) -> None:
    assert usd_per_hour(launch) == (expected if expected is None else pytest.approx(expected))


def test_without_price_or_duration_there_is_no_estimate() -> None:
    assert estimate_usd(Launch(on="elsewhere"), TEN_MINUTES_EACH, 1) is None
    assert estimate_usd(Launch(on="modal", gpu="H100"), DurationEstimate(None, None, "?"), 1) is None


def test_all_runs_share_the_seconds_that_a_cap_pays_for() -> None:
    launch = Launch(on="ssh", options={"host": "pod", "usd_per_hour": 36.0})
    assert affordable_seconds(6.0, launch, 3) == pytest.approx(200.0)
    assert affordable_seconds(None, launch, 3) is None
    assert affordable_seconds(6.0, Launch(), 3) is None


def test_the_users_prices_replace_a_providers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pgolf.preflight.cost.user_config_path", lambda _: tmp_path)
    (tmp_path / "prices.yaml").write_text("providers: {modal: {as_of: today, gpu_hour: {H100: 2}}}")
    read_prices.cache_clear()
    try:
        assert usd_per_hour(Launch(on="modal", gpu="H100:8")) == 16.0
        (tmp_path / "prices.yaml").write_text("providers: {modal: {as_of: today, gpu_hours: {H100: 2}}}")
        read_prices.cache_clear()
        with pytest.raises(UsageError, match=r"prices\.yaml is not a table of prices.*(?s:.)*gpu_hours"):
            usd_per_hour(Launch(on="modal", gpu="H100:8"))
    finally:
        read_prices.cache_clear()


@pytest.mark.parametrize(
    ("usd", "cap", "has_price", "is_own", "expected"),
    [
        (5.0, None, True, False, "pass"), (5.0, 6.0, True, False, "pass"), (5.0, 4.0, True, False, "fail"),
        (None, None, False, True, "pass"), (None, 4.0, False, True, "fail"), (None, None, False, False, "warn"),
        (None, 4.0, True, False, "warn"),
    ],
)  # fmt: skip
def test_a_cap_without_a_price_fails(
    usd: float | None, cap: float | None, has_price: bool, is_own: bool, expected: str
) -> None:
    assert spend(usd, cap, has_price, is_own).severity == expected
