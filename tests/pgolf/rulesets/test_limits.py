"""Limits of bytes, seconds and dollars, and the machine that they apply to."""

import pytest

from pgolf.rulesets.limits import bytes_over, is_contest_machine, is_over_cap, is_over_time

H100, A100 = "NVIDIA H100 80GB HBM3", "NVIDIA A100-SXM4-80GB"


@pytest.mark.parametrize(
    ("total", "over"), [(None, 0), (0, 0), (15_999_999, 0), (16_000_000, 0), (16_000_001, 1), (16_341_163, 341_163)]
)
def test_an_artifact_of_exactly_the_limit_fits(total: int | None, over: int) -> None:
    assert bytes_over(total, 16_000_000) == over


@pytest.mark.parametrize(
    ("seconds", "tolerance", "expected"),
    [(None, 0.0, False), (600.0, 0.0, False), (600.1, 0.0, True), (600.25, 0.25, False), (600.26, 0.25, True)],
)
def test_exactly_the_limit_of_time_is_in_time(seconds: float | None, tolerance: float, expected: bool) -> None:
    assert is_over_time(seconds, 600.0, tolerance) == expected


@pytest.mark.parametrize(
    ("usd", "cap", "expected"),
    [(None, 5.0, False), (9.0, None, False), (5.0, 5.0, False), (5.01, 5.0, True), (0.1, 0.0, True)],
)
def test_exactly_the_cap_may_be_spent(usd: float | None, cap: float | None, expected: bool) -> None:
    assert is_over_cap(usd, cap) == expected


@pytest.mark.parametrize(
    ("gpus", "processes", "expected"),
    [
        ([H100] * 8, 8, True),
        ([H100], 8, True),
        ([H100], None, None),
        ([], 8, None),
        ([], None, None),
        ([H100], 4, False),
        ([A100], 8, False),
        ([A100], None, False),
        ([], 1, False),
    ],
)
def test_the_contests_machine_has_eight_h100(gpus: list[str], processes: int | None, expected: bool | None) -> None:
    assert is_contest_machine(gpus, processes) is expected
