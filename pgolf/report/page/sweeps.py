"""Plots of a sweep: bits per byte against each key that varies."""

import re
from collections.abc import Iterator, Sequence
from math import isfinite
from typing import Any, Literal, TypeGuard

from pgolf.report.groups import RunGroup
from pgolf.report.page.charts import BPB, CARD, COLOUR, SHAPE, Json, Key, Plot, Tip, axis, chart, frame, key_of, layer
from pgolf.report.page.scores import INTERVAL_TIP, SEED_TIP, ends, interval_marks, mean_marks, seed_marks
from pgolf.report.rows import Group
from pgolf.report.sweep_names import MOST_KEYS, sort_key
from pgolf.specs.sweeps import label_of, shown

CAPTION = (
    "Lower is better. Lines connect the means of groups that differ only in this key; "
    "points are seeds, bars 95 % intervals of the means."
)
# Words of keys whose values are compared by their ratio.
RATES = {"lr", "rate", "rates", "eps", "epsilon", "decay", "wd"}
# Positive values that span more are spaced by their ratio as well.
WIDE_SPAN = 10.0
# Pixels between the marks of two lines at one value, and between those of the first and the last of many lines.
DODGE, MOST_DODGE = 7, 42
ScaleKind = Literal["log", "linear", "point"]


def sweep_plots(groups: Sequence[Group]) -> Iterator[Plot]:
    """Yield the plot of each key that varies among the groups of a sweep."""
    swept = [group for group in groups if is_plotted(group)]
    for key in dict.fromkeys(key for group in swept for key in group.swept):
        having = [group for group in swept if key in group.swept]
        if len({repr(group.swept[key]) for group in having}) > 1:
            yield sweep_plot(key, by_other_values(having, key))


def is_plotted(group: Group) -> TypeGuard[RunGroup]:
    """Return whether a group is a point of a sweep with few enough keys for a plot of each."""
    return isinstance(group, RunGroup) and 0 < len(group.swept) <= MOST_KEYS and bool(group.rows)


def by_other_values(groups: Sequence[RunGroup], key: str) -> dict[str, list[RunGroup]]:
    """Return the groups by name and values of all other keys, each in the order of the key's values."""
    found: dict[str, list[RunGroup]] = {}
    for group in sorted(groups, key=lambda group: sort_key(group.swept[key])):
        rest = {other: value for other, value in group.swept.items() if other != key}
        name = group.rows[0].result["name"]
        found.setdefault(f"{name} {label_of(rest)}".strip(), []).append(group)
    return found


def sweep_plot(key: str, lines: dict[str, list[RunGroup]]) -> Plot:
    """Return bits per byte against a key's values."""
    values = sorted({repr(g.swept[key]): g.swept[key] for each in lines.values() for g in each}.values(), key=sort_key)
    kind = scale_kind(key, values)
    keys = [key_of(number, name) for number, name in enumerate(lines)]
    places = [
        (group, about_place(line, group.swept[key], kind, dodge(number, len(lines))))
        for number, line in enumerate(keys)
        for group in lines[line.name]
    ]
    means = [mark for group, about in places for mark in mean_marks(group, **about)]
    seeds = [mark for group, about in places for mark in seed_marks(group, **about)]
    intervals = [mark for group, about in places for mark in interval_marks(group, **about)]
    x = value_axis(key, [position(value, kind) for value in values], kind)
    y = axis("bpb", frame([seed["bpb"] for seed in seeds], ends(intervals)))
    shift = {"xOffset": {"expr": "datum.shift"}}
    value: Tip = ("value", key)
    layers = [
        layer(
            means,
            "line",
            is_silent=True,
            style=shift | {"strokeWidth": 2},
            x=x,
            y=y | {"field": "mean"},
            color=COLOUR,
            detail={"field": "name", "type": "nominal"},
        ),
        layer(
            intervals,
            "rule",
            tip=(value, *INTERVAL_TIP),
            style=shift | {"strokeWidth": 2, "opacity": 0.6, "clip": True},
            x=x,
            y=y | {"field": "low"},
            y2={"field": "high"},
            color=COLOUR,
        ),
        layer(
            seeds,
            "point",
            tip=(value, *SEED_TIP),
            style=shift | {"size": 65, "stroke": CARD, "strokeWidth": 1},
            x=x,
            y=y,
            fill=COLOUR,
            shape=SHAPE,
        ),
    ]
    spec = chart(f"{BPB} against {key}", layers, title=BPB)
    return Plot(f"Swept: {key}", CAPTION, spec, keys if len(keys) > 1 else (), is_wide=True)


def about_place(line: Key, value: Any, kind: ScaleKind, shift: float) -> Json:
    """Return what the marks of a group share: its line, and where it stands."""
    return {"name": line.name, "at": position(value, kind), "value": shown(value), "shift": shift, **line.look}


def dodge(number: int, count: int) -> float:
    """Return how far the marks of a line stand beside a value, so that intervals of several lines are seen."""
    return min(DODGE, MOST_DODGE / count) * (number - (count - 1) / 2)


def scale_kind(key: str, values: Sequence[Any]) -> ScaleKind:
    """Return how values are placed: by ratio, by difference, or evenly where they are no numbers."""
    numbers = [number_of(value) for value in values]
    known = [number for number in numbers if number is not None]
    if len(known) < len(numbers):
        return "point"
    sizes = [abs(number) for number in known if number]
    is_rate = not RATES.isdisjoint(re.split(r"[._]", key.lower()))
    if not (is_rate or (sizes and max(sizes) >= WIDE_SPAN * min(sizes))):
        return "linear"
    # Zero has no place on a logarithmic axis.
    return "log" if min(known) > 0 else "point"


def number_of(value: Any) -> float | None:
    """Return a value as a number, also one written as text, as scripts' variables are; None for anything else."""
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if isfinite(number) else None


def position(value: Any, kind: ScaleKind) -> float | str | None:
    """Return where a value stands on its axis."""
    return shown(value) if kind == "point" else number_of(value)


def value_axis(key: str, positions: Sequence[float | str | None], kind: ScaleKind) -> Json:
    """Return the channel of a key's values, with a label at each of them as far as there is room."""
    if kind == "point":
        return {
            "field": "at",
            "type": "nominal",
            "title": key,
            "sort": None,
            "scale": {"type": "point", "domain": list(positions), "padding": 0.5},
            "axis": {"labelAngle": 0, "labelLimit": 110},
        }
    scale = {"type": kind, "zero": False, "nice": False, "padding": 36}
    return axis("at", title=key, scale=scale, axis={"values": list(positions), "format": "~g"})
