"""What `pgolf doctor` costs."""

import pytest

from pgolf.campaign.doctor import doctor_usd
from pgolf.specs.parts import Launch


def test_a_check_costs_one_minute_of_a_rented_machine() -> None:
    assert doctor_usd(Launch(on="ssh", options={"host": "pod", "usd_per_hour": 36.0})) == pytest.approx(0.60)
    assert doctor_usd(Launch(on="local")) == 0.0
