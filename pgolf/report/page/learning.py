"""The plot of a group's training curves."""

from collections.abc import Sequence

from pgolf.report.page.charts import (
    BYTES_FORMAT,
    COLOUR,
    COLOURS,
    INK,
    SHORT_NUMBER,
    Json,
    Key,
    Plot,
    Tip,
    axis,
    chart,
    layer,
)
from pgolf.report.page.scores import seed_name
from pgolf.report.rows import Group

Point = tuple[float, float]
CAPTION = "Thin lines are seeds; the thick line is their mean."
LOSS = "training loss, nats per token"
MEAN = Key("mean", INK, "line")
MEAN_POINTS = 200
# Points of a curve that are drawn: more than a screen can show, and few enough for a page with many curves.
MOST_POINTS = 400
START_SHARE, FEWEST_POINTS = 0.02, 8


def curves_plot(group: Group) -> Plot | None:
    """Return the training loss of every seed, and their mean if there are several; None without metrics."""
    by_seed = {seed_name(row): without_start(curve) for row in group.rows if (curve := row.curve())}
    if not by_seed:
        return None
    unit = group.rows[0].curve_unit
    keys = [Key(name, COLOURS[number % len(COLOURS)], "line") for number, name in enumerate(by_seed)]
    lines = list(zip(keys, by_seed.values(), strict=True))
    mean = mean_curve([*by_seed.values()]) if len(by_seed) > 1 else []
    lines += [(MEAN, mean)] if mean else []
    data = [line_json(key, thinned(curve)) for key, curve in lines]
    last = max(line["at"][-1] for line in data)
    x = axis(
        "at",
        [0, last] if last > 0 else None,
        title=unit,
        axis={"labelExpr": SHORT_NUMBER},
        scale={"nice": False},
    )
    y = axis("loss")
    tip: tuple[Tip, ...] = (("name", "curve"), ("at", unit, BYTES_FORMAT), ("loss", LOSS, ".4f"))
    thickness = {"condition": {"test": "datum.name === 'mean'", "value": 2.5}, "value": 1.3}
    layers = [
        layer(
            None,
            "line",
            is_silent=True,
            style={"strokeJoin": "round"},
            x=x,
            y=y,
            color=COLOUR,
            detail={"field": "name", "type": "nominal"},
            strokeWidth=thickness,
        ),
        layer(
            None,
            "point",
            tip=tip,
            is_silent=True,
            style={"size": 70},
            x=x,
            y=y,
            color=COLOUR,
            opacity=nearest_only(last > 0),
        )
        | {"params": [NEAREST]},
    ]
    last_losses = ", ".join(f"{key.name} ends at {curve[-1][1]:.4f}" for key, curve in lines)
    spec = chart(
        f"training loss of {group.name} against {unit}: {last_losses}",
        layers,
        title=LOSS,
        data={"values": data},
        transform=[{"flatten": ["at", "loss"]}],
    )
    return Plot("Learning curves", CAPTION if mean else "", spec, [key for key, _ in lines], is_wide=True)


NEAREST: Json = {
    "name": "nearest",
    "select": {
        "type": "point",
        "fields": ["name", "at"],
        "nearest": True,
        "on": "pointermove",
        "clear": "pointerout",
    },
}
"""The point that is nearest to the pointer, wherever in the frame this is."""


def nearest_only(is_line: bool) -> Json:
    """Return a channel of opacity that shows only the nearest point of a line; a single point is always seen."""
    return {"condition": {"param": "nearest", "empty": False, "value": 1}, "value": 0 if is_line else 1}


def line_json(key: Key, curve: Sequence[Point]) -> Json:
    """Return the data of a curve, with as many digits as a plot can show."""
    at, loss = [round(at) for at, _ in curve], [float(f"{loss:.6g}") for _, loss in curve]
    return {"name": key.name, "colour": key.colour, "at": at, "loss": loss}


def thinned(curve: Sequence[Point]) -> Sequence[Point]:
    """Return at most about MOST_POINTS of a curve's points, evenly spaced and with the last one."""
    step = -(-len(curve) // MOST_POINTS)
    return curve if step < 2 else [*curve[:-1:step], curve[-1]]


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
