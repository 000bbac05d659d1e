"""Drawing in SVG: scales, axes, lines, bars and points, as text."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

COLOURS = 8
TICKS = 5
# Values whose relative difference is smaller are drawn as one value.
SAME = 1e-9
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Scale:
    """Map from values to pixels, with round ticks around all values."""

    low: float
    high: float
    first: float
    last: float
    """Pixels of `low` and `high`."""

    def at(self, value: float) -> float:
        """Return the pixel of a value."""
        return self.first + (self.last - self.first) * (value - self.low) / (self.high - self.low)

    @property
    def step(self) -> float:
        """Round distance between two ticks."""
        return round_step((self.high - self.low) / (TICKS - 1))

    def ticks(self) -> list[float]:
        """Return the ticks from end to end."""
        begin = ceil(self.low / self.step - 1e-9)
        return [self.step * number for number in range(begin, floor(self.high / self.step + 1e-9) + 1)]


def scale_of(values: Sequence[float], first: float, last: float, *, has_zero: bool = False) -> Scale:
    """Return a scale around some values that begins and ends at round numbers."""
    low, high = (0.0 if has_zero else min(values)), max(values)
    if high - low <= SAME * max(abs(low), abs(high)):
        low, high = low - abs(low) * 0.01 - 1e-6, high + abs(high) * 0.01 + 1e-6
    step = round_step((high - low) / (TICKS - 1))
    return Scale(floor(low / step + 1e-9) * step, ceil(high / step - 1e-9) * step, first, last)


def round_step(step: float) -> float:
    """Return the next larger 1, 2 or 5 times a power of ten."""
    power = 10.0 ** floor(log10(step))
    return next(times * power for times in (1, 2, 5, 10) if times * power >= step * (1 - 1e-9))


def format_tick(value: float, step: float) -> str:
    """Return a tick's label, with the decimals that its step needs; large numbers with k, M or B."""
    for unit, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if step >= unit / 100 and abs(value) >= unit / 2:
            return f"{value / unit:g}{letter}"
    decimals = max(0, -floor(log10(step) + 1e-9))
    return f"{value:,.{decimals}f}"


def text(x: float, y: float, content: str, *, anchor: str = "start", kind: str = "") -> str:
    """Return a text."""
    return f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}' class='{kind}'>{escape(content)}</text>"


def line(one: Point, other: Point, kind: str) -> str:
    """Return a straight line."""
    return f"<line class='{kind}' x1='{one[0]:.1f}' y1='{one[1]:.1f}' x2='{other[0]:.1f}' y2='{other[1]:.1f}'/>"


def polyline(points: Sequence[Point], kind: str) -> str:
    """Return a line through points."""
    return f"<polyline class='{kind}' points='{' '.join(f'{x:.1f},{y:.1f}' for x, y in points)}'/>"


def box(x: float, y: float, width: float, height: float, kind: str, tooltip: str) -> str:
    """Return a bar with a tooltip."""
    size = f"width='{max(width, 0.5):.1f}' height='{height:.1f}'"
    return f"<rect class='{kind}' x='{x:.1f}' y='{y:.1f}' {size} rx='2'><title>{escape(tooltip)}</title></rect>"


def dot(x: float, y: float, kind: str, tooltip: str) -> str:
    """Return a point with a tooltip."""
    return f"<circle class='dot {kind}' cx='{x:.1f}' cy='{y:.1f}' r='5'><title>{escape(tooltip)}</title></circle>"


def drawing(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    """Return the SVG element that holds some parts."""
    return f"<svg viewBox='0 0 {width} {height}' role='img' aria-label='{escape(title)}'>{''.join(parts)}</svg>"


def axes(x: Scale, y: Scale, across: str, up: str) -> list[str]:
    """Return grid, tick labels and titles of two axes."""
    parts = [line((x.first, y.at(tick)), (x.last, y.at(tick)), "grid") for tick in y.ticks()]
    parts += [text(x.first - 8, y.at(tick) + 4, format_tick(tick, y.step), anchor="end") for tick in y.ticks()]
    parts += [text(x.at(tick), y.first + 18, format_tick(tick, x.step), anchor="middle") for tick in x.ticks()]
    parts.append(text(x.first - 8, y.last - 12, up))
    parts.append(text(x.last, y.first + 34, across, anchor="end"))
    return parts
