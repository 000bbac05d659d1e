"""Repeated timings, and what is said of them."""

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch

# Dense products in bfloat16, by the makers' word.
PEAK_FLOPS = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12}
# glibc as a process has it that sets nothing: the thresholds to which it has adapted by itself.
M_TRIM_THRESHOLD, M_TOP_PAD = -1, -2
USUAL_TRIM_BYTES = 64 << 20


@dataclass(frozen=True)
class Timing:
    """Seconds of several repetitions of one thing."""

    name: str
    seconds: list[float]
    amount: float = 1.0
    """How much one repetition does, in `unit`."""
    unit: str = "run"
    flops: float = 0.0
    """Counted operations of one repetition; 0 where nobody counts them."""

    @property
    def median(self) -> float:
        return median(self.seconds)

    @property
    def spread(self) -> float:
        """Slowest minus fastest, as a share of the median."""
        return (max(self.seconds) - min(self.seconds)) / self.median

    def as_json(self) -> dict[str, object]:
        rate = {f"{self.unit}_per_second": self.amount / self.median} if self.amount != 1.0 else {}
        rate |= {"flops_per_second": self.flops / self.median} if self.flops else {}
        return {"name": self.name, "median_seconds": self.median, "spread": self.spread, "seconds": self.seconds} | rate

    def as_row(self) -> list[str]:
        rate = f"{self.amount / self.median:,.0f} {self.unit}/s" if self.amount != 1.0 else ""
        speed = f"{self.flops / self.median / 1e9:,.0f}{self.share_of_peak()}" if self.flops else ""
        milliseconds, spread = f"{1000 * self.median:,.1f} ms", f"{100 * self.spread:.0f} %"
        return [self.name, milliseconds, spread, str(len(self.seconds)), rate, speed]

    def share_of_peak(self) -> str:
        """Of a GPU whose peak is known, how much of it was used (MFU); of others, nothing."""
        name = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
        peak = next((flops for kind, flops in PEAK_FLOPS.items() if kind in name), None)
        return "" if peak is None else f" ({100 * self.flops / self.median / peak:.1f} % of peak)"


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
    synchronize()
    began = time.perf_counter()
    action()
    synchronize()
    return time.perf_counter() - began


def synchronize() -> None:
    """Nothing; a GPU has done what it was asked to."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def give_memory_back() -> None:
    """Nothing; freed memory goes back to the kernel, as in a script that has not asked for anything else."""
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(M_TRIM_THRESHOLD, USUAL_TRIM_BYTES)
        mallopt(M_TOP_PAD, 0)


def repeat(action: Callable[[], object], times: int) -> list[float]:
    """Seconds of each repetition, after one that does not count."""
    action()
    return [seconds_of(action) for _ in range(times)]


def take_turns(
    actions: dict[str, Callable[[], object]], times: int, is_settled: bool = False
) -> dict[str, list[float]]:
    """Seconds of each action, one after the other in each round, so that a busy moment strikes all of them. Settled
    ones run twice in each turn, and the second time counts: the first maps the memory that the one before gave back.
    """
    for action in actions.values():
        action()

    def turn(action: Callable[[], object]) -> float:
        if is_settled:
            action()
        return seconds_of(action)

    rounds = [{name: turn(action) for name, action in actions.items()} for _ in range(times)]
    return {name: [seconds[name] for seconds in rounds] for name in actions}
