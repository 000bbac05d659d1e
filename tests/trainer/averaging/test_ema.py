"""EmaAverage against its recurrence."""

import pytest
import torch

from trainer.averaging.ema import EmaAverage


@pytest.mark.parametrize("from_initial", [False, True])
def test_the_average_follows_the_recurrence(from_initial: bool) -> None:
    weight = torch.full((3,), 7.0, dtype=torch.float64)
    average = EmaAverage({"w": weight}, 0.9, from_initial)
    expected = weight.clone()
    for step in range(40):
        weight.copy_(torch.randn(3, dtype=torch.float64))
        average.update(step, 1.0)
        share = 0.1 if from_initial else max(0.1, 1 / (step + 1))
        expected = (1 - share) * expected + share * weight
    torch.testing.assert_close(average.candidates()["ema"]["w"], expected)


def test_the_first_steps_give_the_plain_mean_without_the_initial_weights() -> None:
    weight = torch.full((1,), 1000.0, dtype=torch.float64)
    average = EmaAverage({"w": weight}, 0.999, from_initial=False)
    for step, value in enumerate((1.0, 2.0, 6.0)):
        weight.fill_(value)
        average.update(step, 1.0)
    assert average.candidates()["ema"]["w"].item() == 3.0
