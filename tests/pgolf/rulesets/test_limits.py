"""Bytes over a limit."""

import pytest

from pgolf.rulesets.limits import bytes_over


@pytest.mark.parametrize(
    ("total", "over"), [(None, 0), (0, 0), (15_999_999, 0), (16_000_000, 0), (16_000_001, 1), (16_341_163, 341_163)]
)
def test_an_artifact_of_exactly_the_limit_fits(total: int | None, over: int) -> None:
    assert bytes_over(total, 16_000_000) == over
