"""Repeated timings, ratios of timings, and how both are reported."""

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch

# Dense bfloat16 products, from the data sheets.
PEAK_FLOPS = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12}
# glibc's allocator as in a process that never calls mallopt: the thresholds that glibc reaches by itself.
M_TRIM_THRESHOLD, M_TOP_PAD = -1, -2
USUAL_TRIM_BYTES = 64 << 20


@dataclass(frozen=True)
class Timing:
    """Seconds of several repetitions of one action."""

    name: str
    seconds: list[float]
    amount: float = 1.0
    """Amount that one repetition processes, in `unit`."""
    unit: str = "run"
    flops: float = 0.0
    """Counted operations of one repetition; 0 if they are not counted."""

    @property
    def median(self) -> float:
        return median(self.seconds)

    @property
    def spread(self) -> float:
        """Difference between slowest and fastest, as a share of the median."""
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
        """Return the share of a GPU's peak as text (MFU), or an empty string if the peak is not known."""
        name = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
        peak = next((flops for kind, flops in PEAK_FLOPS.items() if kind in name), None)
        return "" if peak is None else f" ({100 * self.flops / self.median / peak:.1f} % of peak)"


@dataclass(frozen=True)
class Ratio:
    """How many times as fast ours is as the other, one value a turn."""

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
    """Wait until the GPU, if there is one, has finished its work."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def use_default_allocator() -> None:
    """Make glibc return freed memory to the kernel again, as it does in an ordinary script."""
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(M_TRIM_THRESHOLD, USUAL_TRIM_BYTES)
        mallopt(M_TOP_PAD, 0)


def repeat(action: Callable[[], object], times: int) -> list[float]:
    """Return the seconds of each repetition, after one warm-up."""
    action()
    return [seconds_of(action) for _ in range(times)]


def take_turns(
    actions: dict[str, Callable[[], object]], times: int, is_run_twice: bool = False
) -> dict[str, list[float]]:
    """Return the seconds of each action, one turn of each in every round, so that other load hits all of them alike.

    With `is_run_twice` each turn runs its action twice and times the second run: the first one maps the memory that
    the previous action returned to the kernel.
    """
    for action in actions.values():
        action()

    def turn(action: Callable[[], object]) -> float:
        if is_run_twice:
            action()
        return seconds_of(action)

    rounds = [{name: turn(action) for name, action in actions.items()} for _ in range(times)]
    return {name: [seconds[name] for seconds in rounds] for name in actions}
