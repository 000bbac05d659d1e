"""Phase seconds over interruptions."""

import pytest

from trainer.runtime.clock import PhaseClock


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock whose time is the last element."""
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
