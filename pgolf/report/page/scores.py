"""The plot of each group's seeds, mean and interval, and the data of such marks for other plots."""

from collections.abc import Iterator, Sequence

from pgolf.report.page.charts import (
    BPB,
    BPB_FORMAT,
    COLOUR,
    INK,
    MARK_OFFSET,
    ROW_HEIGHT,
    ROWS,
    Json,
    Plot,
    Range,
    Tip,
    axis,
    chart,
    fences,
    frame,
    key_of,
    layer,
    name_layers,
)
from pgolf.report.rows import Group, Row

SCORES_CAPTION = (
    "Lower is better. Dots are seeds, the vertical line is their mean, and the bar is the mean's 95 % interval. "
    "A bar without a cap continues outside of the frame."
)
OUTSIDE_CAPTION = "A triangle points at scores outside of the frame, which are far from the others."
RUN: Tip = ("name", "run")
SEED_TIP: tuple[Tip, ...] = (RUN, ("seed", "seed"), ("bpb", BPB, BPB_FORMAT))
MEAN_TIP: tuple[Tip, ...] = (RUN, ("mean", "mean", BPB_FORMAT), ("n", "seeds", "d"))
INTERVAL_TIP: tuple[Tip, ...] = (RUN, ("low", "95 % from", BPB_FORMAT), ("high", "to", BPB_FORMAT))


def seed_name(row: Row) -> str:
    """Return the name of a seed; a public log need not state it."""
    seed = row.as_json()["seed"]
    return "unknown seed" if seed is None else f"seed {seed}"


def seed_marks(group: Group, **about: object) -> Iterator[Json]:
    """Yield the data of each seed."""
    for row in group.rows:
        name, seed = about.get("name", group.name), seed_name(row)
        spoken = f"{name}, {seed}: {row.val_bpb:.6f} {BPB}"
        size = row.as_json()["total_bytes"]
        yield {"name": name, "seed": seed, "bpb": row.val_bpb, "bytes": size, "about": spoken, **about}


def mean_marks(group: Group, **about: object) -> Iterator[Json]:
    """Yield the data of the mean, if there is one."""
    spread = group.spread
    if spread is not None:
        yield {"name": group.name, "mean": spread.mean, "n": spread.n, **about}


def interval_marks(group: Group, **about: object) -> Iterator[Json]:
    """Yield the data of the 95 % interval of the mean, if there is one."""
    spread = group.spread
    if spread is not None and spread.ci95 is not None:
        low, high = spread.ci95
        name = about.get("name", group.name)
        spoken = f"{name}, 95 % interval of the mean: {low:.6f} to {high:.6f} {BPB}"
        yield {"name": name, "low": low, "high": high, "about": spoken, **about}


def ends(intervals: Sequence[Json]) -> list[Range]:
    """Return the ends of intervals."""
    return [(each["low"], each["high"]) for each in intervals]


def scores_plot(groups: Sequence[Group]) -> Plot | None:
    """Return seeds, mean and interval of each group in a row; None for fewer than two seeds."""
    rows = [(group, {"row": row, **key_of(row, group.name).look}) for row, group in enumerate(groups)]
    seeds = [mark for group, about in rows for mark in seed_marks(group, **about)]
    if len(seeds) < 2:
        return None
    means = [mark for group, about in rows for mark in mean_marks(group, **about) if mark["n"] > 1]
    intervals = [mark for group, about in rows for mark in interval_marks(group, **about)]
    low, high = fences([seed["bpb"] for seed in seeds])
    shown = [seed["bpb"] for seed in seeds if low <= seed["bpb"] <= high]
    inside = [(below, above) for below, above in ends(intervals) if low <= (below + above) / 2 <= high]
    x = axis("bpb", frame(shown, inside), title=BPB, axis={"grid": True})
    place = {"yOffset": MARK_OFFSET, "clip": True}
    cap = place | {"thickness": 2, "size": 11}
    layers = [
        layer(
            intervals,
            "rule",
            tip=INTERVAL_TIP,
            style=place | {"strokeWidth": 2},
            x=x | {"field": "low"},
            x2={"field": "high"},
            y=ROWS,
            color=COLOUR,
        ),
        layer(intervals, "tick", is_silent=True, style=cap, x=x | {"field": "low"}, y=ROWS, color=COLOUR),
        layer(intervals, "tick", is_silent=True, style=cap, x=x | {"field": "high"}, y=ROWS, color=COLOUR),
        layer(
            means,
            "tick",
            tip=MEAN_TIP,
            is_silent=True,
            style=place | {"thickness": 3, "size": 18, "color": INK},
            x=x | {"field": "mean"},
            y=ROWS,
        ),
        layer(seeds, "point", tip=SEED_TIP, style=place | {"size": 55, "opacity": 0.8}, x=x, y=ROWS, color=COLOUR),
        *name_layers([(group.name, score_words(group, low, high)) for group in groups]),
    ]
    spec = chart(f"{BPB} of the seeds of each group", layers, height={"step": ROW_HEIGHT})
    caption = SCORES_CAPTION if len(shown) == len(seeds) else f"{SCORES_CAPTION} {OUTSIDE_CAPTION}"
    return Plot("Scores", caption, spec, is_wide=True)


def score_words(group: Group, low: float, high: float) -> str:
    """Return a group's mean and sample deviation; a triangle points at a mean outside of a range."""
    assert group.spread is not None
    spread = group.spread
    words = f"{spread.mean:.4f}" if spread.std is None else f"{spread.mean:.4f} \u00b1 {spread.std:.4f}"
    return f"\u25c2 {words}" if spread.mean < low else f"{words} \u25b8" if spread.mean > high else words
