"""The plot of score against size of the artifact."""

from collections.abc import Sequence
from statistics import fmean

from pgolf.report.page.charts import (
    BPB,
    BYTES_FORMAT,
    CARD,
    COLOUR,
    PICKED,
    SHAPE,
    SHORT_NUMBER,
    Json,
    Plot,
    axis,
    chart,
    fences,
    frame,
    key_of,
    layer,
    limit_layers,
    limit_words,
    limits_near,
)
from pgolf.report.page.scores import INTERVAL_TIP, MEAN_TIP, SEED_TIP, ends, interval_marks, mean_marks, seed_marks
from pgolf.report.rows import Group

CAPTION = (
    "Lower is better, and further left is smaller. A bar is the 95 % interval of a mean, which its dash marks. "
    "Point at a name to see its seeds alone."
)
# Names of groups far from the others that the caption lists.
MOST_LISTED = 6


def size_plot(groups: Sequence[Group]) -> Plot | None:
    """Return bits per byte against artifact bytes, one point per seed; None if no bytes are known.

    Seeds far from all others would squeeze these into a corner. They are left out, and the caption names them.
    """
    keys = [key_of(number, group.name) for number, group in enumerate(groups)]
    sized = [
        mark | {"group": number}
        for number, group in enumerate(groups)
        for mark in seed_marks(group, **keys[number].look)
        if mark["bytes"] is not None
    ]
    if not sized:
        return None
    points = without_far(sized)
    drawn = list(dict.fromkeys(point["group"] for point in points))
    sizes = {number: fmean(point["bytes"] for point in points if point["group"] == number) for number in drawn}
    centres = [(groups[number], {"bytes": sizes[number], **keys[number].look}) for number in drawn]
    means = [mark for group, about in centres for mark in mean_marks(group, **about) if mark["n"] > 1]
    intervals = [mark for group, about in centres for mark in interval_marks(group, **about)]
    limits = [group.limit_bytes for group in groups if group.limit_bytes]
    near = limits_near(limits, max(point["bytes"] for point in points))
    x = axis(
        "bytes",
        frame([*(point["bytes"] for point in points), *near]),
        title="bytes of the artifact",
        axis={"grid": True, "labelExpr": SHORT_NUMBER},
    )
    spec = chart(
        f"{BPB} against bytes of the artifact",
        [*limit_layers(near, x), *score_layers(points, means, intervals, x)],
        height=340,
        title={"text": BPB, "offset": 26 if near else 10},
        params=[PICKED],
    )
    left_out = list(dict.fromkeys(mark["name"] for mark in sized if mark not in points))
    caption = " ".join(filter(None, [CAPTION, limit_words(limits, near), far_words(left_out)]))
    return Plot("Score against size", caption, spec, [keys[number] for number in drawn], is_wide=True)


def score_layers(points: Sequence[Json], means: Sequence[Json], intervals: Sequence[Json], x: Json) -> list[Json]:
    """Return the layers of the intervals, the means and the seeds."""
    y = axis("bpb", frame([point["bpb"] for point in points], ends(intervals)))
    return [
        layer(
            intervals,
            "rule",
            tip=INTERVAL_TIP,
            style={"strokeWidth": 2, "clip": True},
            x=x,
            y=y | {"field": "low"},
            y2={"field": "high"},
            color=COLOUR,
            opacity=unless_faded(0.6),
        ),
        layer(
            means,
            "point",
            tip=MEAN_TIP,
            is_silent=True,
            style={"shape": "stroke", "size": 150, "filled": False, "strokeWidth": 2},
            x=x,
            y=y | {"field": "mean"},
            stroke=COLOUR,
            opacity=unless_faded(0.8),
        ),
        layer(
            points,
            "point",
            tip=(*SEED_TIP, ("bytes", "bytes", BYTES_FORMAT)),
            style={"size": 75, "stroke": CARD, "strokeWidth": 1},
            x=x,
            y=y,
            fill=COLOUR,
            shape=SHAPE,
            opacity=unless_faded(0.9),
        ),
    ]


def without_far(marks: Sequence[Json]) -> Sequence[Json]:
    """Return the seeds whose score and size are near those of the others; all if none is near in both."""
    (low, high), (smallest, largest) = (fences([mark[field] for mark in marks]) for field in ("bpb", "bytes"))
    near = [mark for mark in marks if low <= mark["bpb"] <= high and smallest <= mark["bytes"] <= largest]
    return near or marks


def unless_faded(usual: float) -> Json:
    """Return a channel of opacity: while a name is pointed at, the marks of all others fade."""
    return {"condition": {"test": "picked === '' || picked === datum.name", "value": usual}, "value": 0.08}


def far_words(names: Sequence[str]) -> str:
    """Return a sentence about the groups that are not drawn; empty if there are none."""
    if not names:
        return ""
    more = f" and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else ""
    return f"Not drawn, because they are far from the others: {', '.join(names[:MOST_LISTED])}{more}."
