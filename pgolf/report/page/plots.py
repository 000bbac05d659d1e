"""Plots of the page: learning curves, scores by stage, bytes by part, and score against size."""

from collections.abc import Sequence

from pgolf.report.page.svg import (
    COLOURS,
    Point,
    Scale,
    axes,
    box,
    dot,
    drawing,
    format_tick,
    line,
    polyline,
    scale_of,
    text,
)
from pgolf.report.rows import Group
from pgolf.report.stages import common_stages

WIDTH, HEIGHT = 900.0, 330.0
LEFT, RIGHT, TOP, BOTTOM = 64.0, 28.0, 34.0, 46.0
BAR, GAP = 26.0, 14.0
MEAN_POINTS = 200
NARROW = 520.0
START_SHARE, FEWEST_POINTS = 0.02, 8


def curves(group: Group) -> str | None:
    """Return the training loss of every seed, and their mean if there are several; None without metrics."""
    by_seed = {row.seed: row.curve() for row in group.rows}
    by_seed = {seed: curve for seed, curve in by_seed.items() if curve}
    if not by_seed:
        return None
    by_seed = {seed: without_start(curve) for seed, curve in by_seed.items()}
    points = [point for curve in by_seed.values() for point in curve]
    last = max(at for at, _ in points)
    x = Scale(0.0, last, LEFT, WIDTH - RIGHT) if last > 0 else scale_of([0.0], LEFT, WIDTH - RIGHT)
    y = scale_of([loss for _, loss in points], HEIGHT - BOTTOM, TOP)
    parts = axes(x, y, group.rows[0].curve_unit, "training loss, nats per token")
    for number, curve in enumerate(by_seed.values()):
        parts.append(polyline([(x.at(at), y.at(loss)) for at, loss in curve], f"seed s{number % COLOURS}"))
    if len(by_seed) > 1:
        parts.append(polyline([(x.at(at), y.at(loss)) for at, loss in mean_curve([*by_seed.values()])], "mean"))
    return drawing(WIDTH, HEIGHT, f"training loss of {group.name}", parts)


def without_start(curve: list[Point]) -> list[Point]:
    """Return a curve without its first steps, whose steep fall would hide the rest; a short curve whole."""
    begin = START_SHARE * curve[-1][0]
    later = [point for point in curve if point[0] >= begin]
    return later if len(later) >= FEWEST_POINTS else curve


def mean_curve(by_seed: Sequence[Sequence[Point]]) -> list[Point]:
    """Return the mean of curves at equal steps or tokens, over the range that all of them cover."""
    import numpy as np

    begin, end = max(curve[0][0] for curve in by_seed), min(curve[-1][0] for curve in by_seed)
    if end < begin:
        return []
    shared = {at for at, _ in by_seed[0]}.intersection(*({at for at, _ in curve} for curve in by_seed[1:]))
    grid = np.array(sorted(shared)) if len(shared) > 1 else np.linspace(begin, end, MEAN_POINTS)
    losses = [np.interp(grid, [at for at, _ in curve], [loss for _, loss in curve]) for curve in by_seed]
    return list(zip(grid.tolist(), np.mean(losses, axis=0).tolist(), strict=True))


def waterfall(group: Group) -> str | None:
    """Return mean bits per byte by stage, with the change at each stage; None for fewer than two stages."""
    stages = common_stages(group.rows)
    if len(stages) < 2:
        return None
    values = [bpb for _, bpb in stages]
    margin = (max(values) - min(values)) * 0.35 or 1e-3
    height = TOP + len(stages) * (BAR + GAP) + BOTTOM
    x = scale_of([min(values) - margin, max(values)], 180.0, NARROW - 90.0)
    y = scale_of([0, 1], height - BOTTOM, TOP)
    parts = [line((x.at(tick), TOP - 6), (x.at(tick), y.first), "grid") for tick in x.ticks()]
    parts += [text(x.at(tick), y.first + 18, format_tick(tick, x.step), anchor="middle") for tick in x.ticks()]
    before = values[0]
    for number, (name, bpb) in enumerate(stages):
        top = TOP + number * (BAR + GAP)
        begin, end = (x.low, bpb) if number == 0 else (min(before, bpb), max(before, bpb))
        kind = "first" if number == 0 else "better" if bpb <= before else "worse"
        tooltip = f"{name}: {bpb:.6f}" + (f", {bpb - before:+.6f}" if number else "")
        parts.append(box(x.at(begin), top, x.at(end) - x.at(begin), BAR, kind, tooltip))
        parts.append(text(172, top + BAR / 2 + 4, shortened(name), anchor="end", kind="strong"))
        label = f"{bpb:.4f}" if number == 0 else f"{bpb - before:+.4f}"
        parts.append(text(x.at(end) + 6, top + BAR / 2 + 4, label))
        before = bpb
    return drawing(NARROW, height, f"bits per byte of {group.name} by stage", parts)


def part_names(group: Group) -> list[str]:
    """Return the names of the parts of a group's artifacts."""
    return list(dict.fromkeys(name for row in group.rows for name in row.byte_parts()))


def byte_bars(group: Group, limit: int | None) -> str | None:
    """Return the bytes of every seed's artifact by part, with the limit; None if no bytes are known."""
    rows = [(row.seed, row.byte_parts()) for row in group.rows]
    rows = [(seed, parts) for seed, parts in rows if parts]
    if not rows:
        return None
    names = part_names(group)
    largest = max(sum(parts.values()) for _, parts in rows)
    height = TOP + len(rows) * (BAR + GAP) + BOTTOM - 12
    is_near = limit is not None and largest > limit / 4
    x = scale_of([0, max(largest, limit if is_near and limit else 0)], 90.0, NARROW - 30.0, has_zero=True)
    bottom = TOP + len(rows) * (BAR + GAP)
    parts = [line((x.at(tick), TOP - 6), (x.at(tick), bottom), "grid") for tick in x.ticks()]
    parts += [text(x.at(tick), bottom + 18, format_tick(tick, x.step), anchor="middle") for tick in x.ticks()]
    for number, (seed, sizes) in enumerate(rows):
        top, at = TOP + number * (BAR + GAP), 0
        parts.append(text(82, top + BAR / 2 + 4, f"seed {seed}", anchor="end", kind="strong"))
        for name, size in sizes.items():
            kind = f"f{names.index(name) % COLOURS}"
            parts.append(box(x.at(at), top, x.at(at + size) - x.at(at), BAR, kind, f"{name}: {size:,} bytes"))
            at += size
    if is_near and limit is not None:
        parts.append(line((x.at(limit), TOP - 10), (x.at(limit), bottom), "limit"))
        parts.append(text(x.at(limit) - 6, TOP - 16, f"limit {limit:,}", anchor="end", kind="strong"))
    return drawing(NARROW, height, f"bytes of {group.name}", parts)


def scatter(groups: Sequence[Group]) -> str | None:
    """Return bits per byte against artifact bytes, one point per seed; None if no bytes are known."""
    found = [
        (number, group, row, int(size))
        for number, group in enumerate(groups)
        for row in group.rows
        if (size := row.as_json()["total_bytes"]) is not None
    ]
    if not found:
        return None
    limit = next((group.limit_bytes for group in groups if group.limit_bytes), None)
    sizes = [size for *_, size in found]
    is_near = limit is not None and max(sizes) > limit / 4
    x = scale_of([*sizes, *([limit] if is_near and limit else [])], LEFT + 10, WIDTH - RIGHT)
    y = scale_of([row.val_bpb for _, _, row, _ in found], HEIGHT - BOTTOM, TOP)
    parts = axes(x, y, "bytes of the artifact", "bits per byte")
    if is_near and limit is not None:
        parts.append(line((x.at(limit), TOP), (x.at(limit), HEIGHT - BOTTOM), "limit"))
    for number, group, row, size in found:
        tooltip = f"{group.name} seed {row.seed}: {row.val_bpb:.6f} bpb, {size:,} bytes"
        parts.append(dot(x.at(size), y.at(row.val_bpb), f"f{number % COLOURS}", tooltip))
    return drawing(WIDTH, HEIGHT, "bits per byte against bytes", parts)


def shortened(name: str, most: int = 24) -> str:
    """Return a name, cut to fit next to a bar."""
    return name if len(name) <= most else f"{name[: most - 1]}\u2026"
