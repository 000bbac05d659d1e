"""Plots of bars: scores by stage, and bytes by part."""

from collections.abc import Sequence
from itertools import accumulate, pairwise

from pgolf.report.page.charts import (
    BETTER,
    BPB,
    BPB_FORMAT,
    BYTES_FORMAT,
    CARD,
    COLOUR,
    COLOURS,
    MARK_OFFSET,
    ROW_HEIGHT,
    ROWS,
    SHORT_NUMBER,
    SOFT,
    WORSE,
    Json,
    Key,
    Plot,
    Tip,
    axis,
    chart,
    frame,
    layer,
    limit_layers,
    limit_words,
    limits_near,
    name_layers,
    signed,
)
from pgolf.report.page.scores import seed_name
from pgolf.report.rows import Group
from pgolf.report.stages import common_stages

STAGES_CAPTION = (
    "Means of all seeds: before quantization, after it, and after each evaluation. "
    "Bars are changes: blue is better, orange is worse."
)
BYTES_CAPTION = "Tensor groups share compressed streams in proportion to their entropy."


def stages_plot(group: Group) -> Plot | None:
    """Return mean bits per byte by stage, with the change at each stage; None for fewer than two stages."""
    stages = common_stages(group.rows)
    if len(stages) < 2:
        return None
    (first, score), *_ = stages
    start = stage_mark(0, first, score, score) | {"colour": SOFT, "change": "", "about": f"{first}: {score:.6f} {BPB}"}
    changes = [
        stage_mark(number, name, before, bpb)
        for number, ((_, before), (name, bpb)) in enumerate(pairwise(stages), start=1)
    ]
    x = axis("bpb", frame([bpb for _, bpb in stages]), title=BPB, axis={"grid": True})
    tip: tuple[Tip, ...] = (("stage", "stage"), ("bpb", BPB, BPB_FORMAT), ("change", "change"))
    bar = {"height": 8, "yOffset": MARK_OFFSET}
    dot = {"size": 80, "opacity": 1, "yOffset": MARK_OFFSET}
    layers = [
        layer(changes, "bar", tip=tip, is_silent=True, style=bar, x=x, x2={"field": "before"}, y=ROWS, color=COLOUR),
        layer([start, *changes], "point", tip=tip, style=dot, x=x, y=ROWS, color=COLOUR),
        *name_layers(stage_names(stages)),
    ]
    spec = chart(f"{BPB} of {group.name} by stage", layers, height={"step": ROW_HEIGHT})
    return Plot("Stages", STAGES_CAPTION, spec)


def stage_mark(row: int, stage: str, before: float, bpb: float) -> Json:
    """Return the data of a stage that changes the score from `before`."""
    change = signed(bpb - before, 6)
    return {
        "row": row,
        "stage": stage,
        "before": before,
        "bpb": bpb,
        "change": change,
        "colour": BETTER if bpb <= before else WORSE,
        "about": f"{stage}: {bpb:.6f} {BPB}, {change}",
    }


def stage_names(stages: Sequence[tuple[str, float]]) -> list[tuple[str, str]]:
    """Return each stage's name with its score and its change."""
    (first, score), *_ = stages
    changed = [(name, f"{bpb:.4f} ({signed(bpb - before, 4)})") for (_, before), (name, bpb) in pairwise(stages)]
    return [(first, f"{score:.4f}"), *changed]


def bytes_plot(group: Group) -> Plot | None:
    """Return the bytes of every seed's artifact by part, with the limit if it is near; None if no bytes are known."""
    sized = [(seed_name(row), parts) for row in group.rows if (parts := row.byte_parts())]
    if not sized:
        return None
    names = dict.fromkeys(name for _, parts in sized for name in parts)
    keys = {name: Key(name, COLOURS[number % len(COLOURS)]) for number, name in enumerate(names)}
    bars = [
        part_mark(row, seed, keys[name], end, size, sum(parts.values()))
        for row, (seed, parts) in enumerate(sized)
        for (name, size), end in zip(parts.items(), accumulate(parts.values()), strict=True)
    ]
    largest = max(sum(parts.values()) for _, parts in sized)
    limits = [] if group.limit_bytes is None else [group.limit_bytes]
    near = limits_near(limits, largest)
    x = axis(
        "begin",
        [0, max([largest, *near])],
        title="bytes",
        axis={"grid": True, "labelExpr": SHORT_NUMBER},
        scale={"nice": not near},
    )
    tip: tuple[Tip, ...] = (
        ("seed", "seed"), ("name", "part"), ("bytes", "bytes", BYTES_FORMAT), ("share", "share", ".1%"),
    )  # fmt: skip
    bar = {"height": 16, "yOffset": MARK_OFFSET, "stroke": CARD, "strokeWidth": 1}
    totals = [(f"{seed}: {sum(parts.values()):,} bytes", "") for seed, parts in sized]
    layers = [
        layer(bars, "bar", tip=tip, style=bar, x=x, x2={"field": "end"}, y=ROWS, fill=COLOUR),
        *limit_layers(near, x),
        *name_layers(totals),
    ]
    spec = chart(f"bytes of {group.name} by part", layers, height={"step": ROW_HEIGHT})
    how_counted = "" if "model" in names else BYTES_CAPTION
    caption = " ".join(filter(None, [how_counted, limit_words(limits, near)]))
    return Plot("Bytes", caption, spec, [*keys.values()])


def part_mark(row: int, seed: str, key: Key, end: int, size: int, total: int) -> Json:
    """Return the data of a part that ends after `end` of an artifact's bytes."""
    return {
        "row": row,
        "seed": seed,
        "name": key.name,
        "colour": key.colour,
        "begin": end - size,
        "end": end,
        "bytes": size,
        "share": size / max(total, 1),
        "about": f"{seed}, {key.name}: {size:,} bytes",
    }
