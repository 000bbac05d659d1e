"""Repeated timings, and what is said of them."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Timing:
    """Seconds of several repetitions of one thing."""

    name: str
    seconds: list[float]
    amount: float = 1.0
    """How much one repetition does, in `unit`."""
    unit: str = "run"

    @property
    def median(self) -> float:
        return median(self.seconds)

    @property
    def spread(self) -> float:
        """Slowest minus fastest, as a share of the median."""
        return (max(self.seconds) - min(self.seconds)) / self.median

    def as_json(self) -> dict[str, object]:
        rate = {f"{self.unit}_per_second": self.amount / self.median} if self.amount != 1.0 else {}
        return {"name": self.name, "median_seconds": self.median, "spread": self.spread, "seconds": self.seconds} | rate

    def as_row(self) -> list[str]:
        rate = f"{self.amount / self.median:,.0f} {self.unit}/s" if self.amount != 1.0 else ""
        return [self.name, f"{1000 * self.median:,.1f} ms", f"{100 * self.spread:.0f} %", str(len(self.seconds)), rate]


@dataclass(frozen=True)
class Ratio:
    """How many times faster ours is than the other, pair by pair."""

    name: str
    pairs: list[float]

    def as_json(self) -> dict[str, object]:
        return {"name": self.name, "median_ratio": median(self.pairs), "pairs": self.pairs}

    def as_row(self) -> list[str]:
        return [self.name, f"{median(self.pairs):.3f}x", f"{min(self.pairs):.3f} to {max(self.pairs):.3f}"]


def seconds_of(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def repeat(action: Callable[[], object], times: int) -> list[float]:
    """Seconds of each repetition, after one that does not count."""
    action()
    return [seconds_of(action) for _ in range(times)]


def take_turns(actions: dict[str, Callable[[], object]], times: int) -> dict[str, list[float]]:
    """Seconds of each action, one after the other in each round, so that a busy moment strikes all of them."""
    for action in actions.values():
        action()
    rounds = [{name: seconds_of(action) for name, action in actions.items()} for _ in range(times)]
    return {name: [seconds[name] for seconds in rounds] for name in actions}
