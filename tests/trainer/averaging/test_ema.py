"""The moving average against its recurrence."""

import torch

from trainer.averaging.ema import EmaAverage
from trainer.recipe.averaging import Ema


def test_it_follows_the_recurrence() -> None:
    weight = torch.zeros(3, dtype=torch.float64)
    average = EmaAverage(Ema(kind="ema", decay=0.9), {"w": weight})
    expected = torch.zeros(3, dtype=torch.float64)
    for step in range(40):
        weight.copy_(torch.randn(3, dtype=torch.float64))
        average.update(step)
        share = max(0.1, 1 / (step + 1))
        expected = (1 - share) * expected + share * weight
    torch.testing.assert_close(average.candidate()["w"], expected)


def test_early_on_it_is_the_plain_mean_and_the_initial_weights_are_forgotten() -> None:
    weight = torch.full((1,), 1000.0, dtype=torch.float64)
    average = EmaAverage(Ema(kind="ema", decay=0.999), {"w": weight})
    for step, value in enumerate((1.0, 2.0, 6.0)):
        weight.fill_(value)
        average.update(step)
    assert average.candidate()["w"].item() == 3.0
