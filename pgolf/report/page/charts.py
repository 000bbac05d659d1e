"""The vocabulary of the page's plots: what a plot is, its colours and shapes, and the pieces of Vega-Lite they share.

Colours are CSS variables, so that a plot follows the colour scheme of the page without being drawn again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf
from statistics import quantiles
from typing import Any

Json = dict[str, Any]
Range = tuple[float, float]
Tip = tuple[str, str] | tuple[str, str, str]
"""A field and its title, for numbers with a format of d3."""

COLOURS = tuple(f"var(--c{number})" for number in range(8))
INK, SOFT, LINE, CARD = "var(--ink)", "var(--soft)", "var(--line)", "var(--card)"
LIMIT, BETTER, WORSE = "var(--limit)", "var(--better)", "var(--worse)"
SHAPES = ("circle", "square", "diamond", "triangle-up", "cross", "triangle-down")
SYMBOLS = {
    "circle": "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0-9 0",
    "square": "M-4-4h8v8h-8z",
    "diamond": "M0-5 5 0 0 5-5 0z",
    "triangle-up": "M0-4.5 5 4.5H-5z",
    "cross": "M-1.7-5h3.4v3.3h3.3v3.4h-3.3v3.3h-3.4v-3.3h-3.3v-3.4h3.3z",
    "triangle-down": "M0 4.5 5-4.5H-5z",
    "line": "M-5-1.2h10v2.4h-10z",
}
"""Paths of a legend's symbols, around the origin."""

BPB = "bits per byte"
BPB_FORMAT, BYTES_FORMAT = ".6f", ",d"
SHORT_NUMBER = "replace(format(datum.value, '~s'), 'G', 'B')"
"""The expression of an axis label such as 15.9M; d3 writes G for billions."""

# At least this share of a limit makes it worth drawing: further away, it would squeeze the data into a corner.
NEAR_LIMIT = 0.25
# An interval may widen the frame by this many times the range of the values; the frame cuts off what is longer.
MOST_WIDENING = 2.0
# Values further from the quartiles than this many times the distance of the quartiles are far from the rest: a frame
# that holds them would show the others as one spot.
FAR, FEWEST_FOR_FAR = 10.0, 8
# Rows have a name above their marks: beside them, it would leave no room on a phone. Units: pixels.
ROW_HEIGHT, NAME_OFFSET, MARK_OFFSET = 44, -12, 6
# Width of a plot on a phone, in pixels, and the characters of a name that fit beside a value there.
NARROW, SHORT_NAME = 560, 30

# The name in the legend that is pointed at.
PICKED: Json = {"name": "picked", "value": ""}

CONFIG: Json = {
    "background": None,
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "domainColor": LINE,
        "gridColor": LINE,
        "labelColor": SOFT,
        "labelFontSize": 12,
        "labelOverlap": "greedy",
        "labelPadding": 6,
        "labelSeparation": 8,
        "tickCount": 5,
        "ticks": False,
        "titleColor": SOFT,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "titlePadding": 8,
    },
    "axisX": {"grid": False},
    "axisY": {"domain": False},
    "point": {"filled": True},
    "rule": {"stroke": LINE},
    "text": {"fill": SOFT, "fontSize": 12},
    "title": {
        "anchor": "start",
        "color": SOFT,
        "fontSize": 12,
        "fontWeight": "normal",
        "frame": "bounds",
        "offset": 10,
    },
}


@dataclass(frozen=True, slots=True)
class Key:
    """An entry of a legend."""

    name: str
    colour: str
    shape: str = "square"
    """One of SYMBOLS."""

    @property
    def look(self) -> Json:
        """The fields that `COLOUR` and `SHAPE` draw."""
        return {"colour": self.colour, "shape": self.shape}


COLOUR: Json = {"field": "colour", "type": "nominal", "scale": None}
SHAPE: Json = {"field": "shape", "type": "nominal", "scale": None}


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot with what stands around it."""

    title: str
    caption: str
    spec: Json
    """In Vega-Lite."""
    legend: Sequence[Key] = ()
    is_wide: bool = False
    """Whether it takes the width of the page, rather than of a column."""

    @property
    def has_picks(self) -> bool:
        """Return whether pointing at an entry of the legend fades the marks of all others."""
        return PICKED in self.spec.get("params", [])


def key_of(number: int, name: str) -> Key:
    """Return colour and shape of the entry with a number; the first forty-eight differ."""
    return Key(name, COLOURS[number % len(COLOURS)], SHAPES[number // len(COLOURS) % len(SHAPES)])


def chart(description: str, layers: Sequence[Json], *, height: float | Json = 300, **more: Any) -> Json:
    """Return a specification of layers, from the lowest to the topmost, as wide as the page allows.

    Args:
        description: What a screen reader says in place of the plot.
        layers: Made by `layer`.
        height: In pixels, or `{"step": pixels}` for each row.
        more: Further properties of the specification.
    """
    return {"description": description, "width": "container", "height": height, "layer": list(layers), **more}


def layer(
    rows: Sequence[Json] | None,
    mark: str,
    *,
    tip: Sequence[Tip] = (),
    is_silent: bool = False,
    style: Json,
    **encoding: Any,
) -> Json:
    """Return a layer of marks, one for each row; of lines, one for each `detail`.

    Args:
        rows: The data of the layer; None for a layer that draws the data of the chart.
        mark: Kind of the marks.
        tip: What is shown when a mark is pointed at.
        is_silent: Whether a screen reader skips the marks; otherwise it reads their field `about`.
        style: Properties that all marks have.
        encoding: Channels by name.
    """
    if tip:
        encoding["tooltip"] = [tooltip(*each) for each in tip]
    if not is_silent:
        encoding["description"] = {"field": "about", "type": "nominal"}
    found = {"mark": {"type": mark, "aria": not is_silent} | style, "encoding": encoding}
    return found if rows is None else {"data": {"values": list(rows)}} | found


def tooltip(field: str, title: str, form: str | None = None) -> Json:
    """Return a channel that is shown when a mark is pointed at; a number with a format."""
    kind = {"type": "nominal"} if form is None else {"type": "quantitative", "format": form}
    return {"field": field, "title": title, **kind}


def axis(field: str, domain: Sequence[float] | None = None, *, title: str | None = None, **more: Any) -> Json:
    """Return a quantitative channel; its scale begins at round numbers and need not include zero."""
    scale = {"zero": False, "nice": True} | ({} if domain is None else {"domain": list(domain)}) | more.pop("scale", {})
    return {"field": field, "type": "quantitative", "title": title, "scale": scale, **more}


def frame(values: Sequence[float], intervals: Sequence[Range] = ()) -> Range:
    """Return a range around some values and, as far as they do not dwarf the values, around their intervals."""
    low, high = min(values), max(values)
    room = (high - low) or abs(high) * 0.01 or 1e-6
    begin = min([low, *(max(below, low - MOST_WIDENING * room) for below, _ in intervals)])
    end = max([high, *(min(above, high + MOST_WIDENING * room) for _, above in intervals)])
    margin = 0.04 * ((end - begin) or room)
    return begin - margin, end + margin


def fences(values: Sequence[float]) -> Range:
    """Return the range outside of which a value is far from the rest; infinite if the values are too few or alike."""
    if len(values) < FEWEST_FOR_FAR:
        return -inf, inf
    first, _, third = quantiles(values, n=4, method="inclusive")
    room = FAR * (third - first)
    return (first - room, third + room) if room else (-inf, inf)


ROWS: Json = {"field": "row", "type": "ordinal", "axis": None}
"""The channel of rows from top to bottom, whose names `name_layers` writes."""


def name_layers(names: Sequence[tuple[str, str]]) -> list[Json]:
    """Return the layers that write a name at the left and a value at the right above the marks of each row."""
    rows = [
        {"row": number, "name": name, "short": shortened(name, SHORT_NAME), "value": value}
        for number, (name, value) in enumerate(names)
    ]
    place = {"baseline": "middle", "yOffset": NAME_OFFSET}
    name = {"align": "left", "fill": INK, "text": {"expr": f"width < {NARROW} ? datum.short : datum.name"}}
    value = {"align": "right", "text": {"expr": "datum.value"}}
    return [
        layer(rows, "text", is_silent=True, style=place | name, x={"value": 0}, y=ROWS),
        layer(rows, "text", is_silent=True, style=place | value, x={"value": {"expr": "width"}}, y=ROWS),
    ]


def shortened(name: str, most: int) -> str:
    """Return a name without its middle if it is long: what tells siblings apart is often at their ends."""
    if len(name) <= most:
        return name
    tail = most // 2
    return f"{name[: most - tail - 1]}\u2026{name[-tail:]}"


def limits_near(limits: Iterable[int], largest: float) -> list[int]:
    """Return the limits that are near enough to be drawn."""
    return sorted({limit for limit in limits if largest > NEAR_LIMIT * limit})


def limit_layers(limits: Sequence[int], x: Json) -> list[Json]:
    """Return a dashed line at each limit, with a label above the frame on the side where there is more room."""
    if not limits:
        return []
    rows = [{"bytes": limit, "label": f"limit {limit:,}"} for limit in limits]
    line = {"stroke": LIMIT, "strokeWidth": 1.5, "strokeDash": [5, 4]}
    align = {"expr": "scale('x', datum.bytes) > width / 2 ? 'right' : 'left'"}
    text = {"baseline": "bottom", "fill": LIMIT, "align": align, "text": {"expr": "datum.label"}}
    x = x | {"field": "bytes"}
    return [
        layer(rows, "rule", is_silent=True, style=line, x=x),
        layer(rows, "text", is_silent=True, style=text, x=x, y={"value": -6}),
    ]


def limit_words(limits: Iterable[int], near: Sequence[int]) -> str:
    """Return a sentence about each limit that a plot shows or leaves out; empty without limits."""
    drawn = ["The dashed line is the limit."] if near else []
    left_out = [
        f"The limit of {limit:,} bytes is far to the right." for limit in sorted(set(limits)) if limit not in near
    ]
    return " ".join([*drawn, *left_out])


def signed(number: float, digits: int) -> str:
    """Return a difference with its sign."""
    return f"{number:+.{digits}f}".replace("-", "\u2212")
