"""Plots of a sweep: bits per byte against each key that varies."""

from collections.abc import Iterator, Sequence
from typing import TypeGuard

from pgolf.report.groups import RunGroup
from pgolf.report.page.plots import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH
from pgolf.report.page.svg import COLOURS, Scale, dot, drawing, format_tick, line, polyline, scale_of, text
from pgolf.report.rows import Group
from pgolf.report.sweep_names import MOST_KEYS, sort_key
from pgolf.specs.sweeps import label_of, shown

CAPTION = "Lines connect the means of groups that differ only in this key; points are seeds, bars 95 % intervals."


def sweep_pictures(groups: Sequence[Group]) -> Iterator[tuple[str, str, list[str]]]:
    """Yield each key that varies among the groups of a sweep, with its plot and the names of the plot's lines."""
    swept = [group for group in groups if is_plotted(group)]
    for key in dict.fromkeys(key for group in swept for key in group.swept):
        having = [group for group in swept if key in group.swept]
        if len({repr(group.swept[key]) for group in having}) > 1:
            lines = by_other_values(having, key)
            yield key, draw_sweep(key, lines), list(lines)


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


def draw_sweep(key: str, lines: dict[str, list[RunGroup]]) -> str:
    """Return bits per byte against a key's values, which are sorted and evenly spaced."""
    groups = [group for each in lines.values() for group in each]
    values = sorted({repr(group.swept[key]): group.swept[key] for group in groups}.values(), key=sort_key)
    places = {repr(value): number for number, value in enumerate(values)}
    x = Scale(-0.5, len(values) - 0.5, LEFT, WIDTH - RIGHT)
    y = scale_of([row.val_bpb for group in groups for row in group.rows], HEIGHT - BOTTOM, TOP)
    parts = [line((x.first, y.at(tick)), (x.last, y.at(tick)), "grid") for tick in y.ticks()]
    parts += [text(x.first - 8, y.at(tick) + 4, format_tick(tick, y.step), anchor="end") for tick in y.ticks()]
    parts += [text(x.at(n), y.first + 18, shown(value), anchor="middle") for n, value in enumerate(values)]
    parts += [text(x.first - 8, y.last - 12, "bits per byte"), text(x.last, y.first + 34, key, anchor="end")]
    for number, alike in enumerate(lines.values()):
        means = [(x.at(places[repr(g.swept[key])]), y.at(g.spread.mean)) for g in alike if g.spread is not None]
        parts.append(polyline(means, f"seed s{number % COLOURS}"))
        for group in alike:
            parts += marks(group, x.at(places[repr(group.swept[key])]), y, f"f{number % COLOURS}")
    return drawing(WIDTH, HEIGHT, f"bits per byte against {key}", parts)


def marks(group: RunGroup, at: float, y: Scale, kind: str) -> list[str]:
    """Return the points of a group's seeds, and the interval of their mean, clipped to the plot."""
    parts = []
    if group.spread is not None and group.spread.ci95 is not None:
        low, high = (min(max(bound, y.low), y.high) for bound in group.spread.ci95)
        parts.append(line((at, y.at(low)), (at, y.at(high)), "grid"))
    tooltips = {row.seed: f"{group.name} seed {row.seed}: {row.val_bpb:.6f} bpb" for row in group.rows}
    return [*parts, *(dot(at, y.at(row.val_bpb), kind, tooltips[row.seed]) for row in group.rows)]
