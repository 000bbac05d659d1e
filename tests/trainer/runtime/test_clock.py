"""Seconds of phases across restarts, and rank 0's clock."""

from collections.abc import Sequence

import pytest

from trainer.runtime.clock import MAX_UNREAD_SHARE, MAX_UNREAD_STEPS, PhaseClock, RankZeroClock


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return a clock whose time is the last element."""
    times = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: times[-1])
    return times


def test_phases_add_up_and_can_be_read_while_they_run(hands: list[float]) -> None:
    clock = PhaseClock()
    with clock.phase("train"):
        hands.append(103.0)
        assert clock.seconds("train") == 3.0
    hands.append(200.0)
    with clock.phase("train"):
        hands.append(201.0)
    assert clock.finished == {"train": 4.0}


def test_a_resumed_clock_goes_on_from_the_checkpoint(hands: list[float]) -> None:
    first = PhaseClock()
    with first.phase("train"):
        hands.append(107.0)
        kept = first.state()
        hands.append(150.0)  # lost with the process that was killed
    second = PhaseClock()
    second.restore(kept)
    with second.phase("train"):
        hands.append(152.0)
    assert second.finished == {"train": 9.0}


def test_phases_do_not_nest() -> None:
    clock = PhaseClock()
    with clock.phase("train"), pytest.raises(AssertionError), clock.phase("encode"):
        pass


def followed(budget: float, steps: Sequence[float]) -> tuple[list[float], list[float], list[int]]:
    """Return rank 0's seconds after each step, those that all ranks use, and the steps that read the clock."""
    clock, true, believed, looks = RankZeroClock(budget), 0.0, [], []
    spent: list[float] = []

    class Seconds:
        def __float__(self) -> float:
            looks.append(len(spent) - 1)
            return true

    for seconds in steps:
        true += seconds
        spent.append(true)
        believed.append(clock.seconds_after(len(spent) - 1, Seconds()))
    return spent, believed, looks


def test_cheap_steps_seldom_look_at_rank_zeros_clock_but_near_the_end_each_does() -> None:
    spent, believed, looks = followed(600.0, [0.1] * 6000)
    assert len(looks) < 6000 / MAX_UNREAD_STEPS + 0.03 * 6000
    assert looks[-100:] == list(range(5900, 6000))
    assert max(true - other for true, other in zip(spent, believed, strict=True)) < 0.002 * 600


@pytest.mark.parametrize("pauses", [{0: 4.0}, {5: 8.0}, {40: 8.0}, {80: 8.0}])
@pytest.mark.parametrize("step", [0.01, 0.1, 0.7])
def test_whatever_a_step_takes_nobody_runs_ahead_of_rank_zero_or_back(pauses: dict[int, float], step: float) -> None:
    spent, believed, _ = followed(30.0, [pauses.get(number, step) for number in range(300)])
    assert believed == sorted(believed)
    for number, (true, other) in enumerate(zip(spent, believed, strict=True)):
        # The ranks are behind by the allowed share at most, plus pauses since the last read.
        unforeseen = sum(pause for n, pause in pauses.items() if number - MAX_UNREAD_STEPS < n <= number)
        assert 0 <= true - other <= MAX_UNREAD_SHARE * 30 + unforeseen + 1e-9
