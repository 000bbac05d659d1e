"""The leaderboard as one HTML page: score against date and size, the ranking, and the evidence of every number."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from pgolf.report.leaderboard import Entry
from pgolf.report.page.charts import (
    BPB,
    BPB_FORMAT,
    BYTES_FORMAT,
    CARD,
    COLOUR,
    COLOURS,
    PICKED,
    SHAPE,
    SHORT_NUMBER,
    Json,
    Key,
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
from pgolf.report.page.document import Fact, counted, rendered
from pgolf.report.page.tables import Cell, Table, cell
from pgolf.report.tables import format_number

RANKING_COLUMNS = (
    "rank",
    "record",
    "mean bpb",
    "std",
    "n",
    "largest bytes",
    "claimed bpb",
    "date",
    "methods",
    "problems",
)
REFUSED_COLUMNS = ("record", "mean bpb", "n", "largest bytes", "date", "not ranked", "problems")
SEED_COLUMNS = ("seed", "val_bpb", "bpb from", "total bytes", "bytes from", "seed from")
METHOD_COLUMNS = ("method", "records", "best bpb", "mean bpb")
CAPTION = (
    "Lower is better. A point is the mean of a record's seeds, in the colour of the rarest method that it names. "
    "Click it to open the lines that it was read from; point at a method to see all records that name it."
)
# Methods that have a colour of their own.
COLOURED_METHODS = len(COLOURS) - 1
OTHER = "other"
GREY = COLOURS[-1]
# Names of records in a caption.
MOST_LISTED = 4


@dataclass(frozen=True, slots=True)
class Evidence:
    """Where the numbers of a record were read."""

    anchor: str
    name: str
    headline: str
    facts: Sequence[Fact]
    seeds: Table
    problems: Sequence[Json]


def leaderboard_page(entries: Sequence[Entry]) -> str:
    """Return the page. It has no time of writing, so that equal records give equal pages."""
    anchored = [(f"record-{number}", entry) for number, entry in enumerate(entries, start=1)]
    ranked = [(anchor, entry) for anchor, entry in anchored if entry.rank is not None]
    refused = [(anchor, entry) for anchor, entry in anchored if entry.rank is None]
    keys = method_keys([entry for _, entry in ranked])
    points = [point(anchor, entry, keys) for anchor, entry in ranked]
    plots = [date_plot(points, keys), size_plot(points, keys, [entry for _, entry in ranked])]
    return rendered(
        "leaderboard.html",
        title="pgolf leaderboard",
        counts=f"{counted(len(ranked), 'record')} ranked, {len(refused)} not ranked",
        overview=[plot for plot in plots if plot is not None],
        tables=[ranking_table(ranked), refused_table(refused), methods_table([entry for _, entry in ranked])],
        entries=[evidence(anchor, entry) for anchor, entry in anchored],
        written=None,
    )


def methods_of(entry: Entry) -> list[str]:
    """Return the methods that a record names."""
    return [mention.method for mention in entry.standing.methods]


def method_keys(entries: Sequence[Entry]) -> dict[str, Key]:
    """Return the legend: the most frequent methods, then all others."""
    counts = Counter(method for entry in entries for method in methods_of(entry))
    frequent = [method for method, _ in counts.most_common(COLOURED_METHODS)]
    keys = {method: key_of(number, method) for number, method in enumerate(frequent)}
    return keys | {OTHER: Key(OTHER, GREY, "circle")}


def point(anchor: str, entry: Entry, keys: dict[str, Key]) -> Json:
    """Return the data of a record's point. It is drawn as the last of its methods in the legend, the rarest."""
    standing, methods = entry.standing, methods_of(entry)
    name = next((method for method in reversed(keys) if method in methods), OTHER)
    sizes = [seed["total_bytes"] for seed in standing.group["seeds"] if seed["total_bytes"] is not None]
    return {
        "name": entry.name,
        "rank": entry.rank,
        "bpb": standing.mean,
        "n": standing.group["n"],
        "bytes": max(sizes, default=None),
        "date": standing.submitted,
        "methods": ", ".join(methods) or "none named",
        "tags": methods or [OTHER],
        "href": f"#{anchor}",
        "about": f"{entry.name}, rank {entry.rank}: {standing.mean:.6f} {BPB}",
        **keys[name].look,
    }


def near_points(points: Sequence[Json], *fields: str) -> Sequence[Json]:
    """Return the points that have some fields and are near the others in them; all if none is."""
    found = [each for each in points if all(each[field] is not None for field in fields)]
    near = found
    for field in fields:
        if found and not isinstance(found[0][field], str):
            low, high = fences([each[field] for each in found])
            near = [each for each in near if low <= each[field] <= high]
    return near or found


def date_plot(points: Sequence[Json], keys: dict[str, Key]) -> Plot | None:
    """Return score against the date that the author states; None if no record has one."""
    drawn = near_points(points, "bpb", "date")
    if not drawn:
        return None
    x: Json = {"field": "date", "type": "temporal", "title": "date that the author states", "axis": {"format": "%b %d"}}
    spec = chart(
        f"{BPB} against date",
        [record_layer(drawn, x, ("date", "date"))],
        height=340,
        title={"text": BPB},
        params=[PICKED],
    )
    caption = " ".join(filter(None, [CAPTION, left_out_words(points, drawn, "date")]))
    return Plot("Score against date", caption, spec, legend(keys, drawn), is_wide=True)


def size_plot(points: Sequence[Json], keys: dict[str, Key], entries: Sequence[Entry]) -> Plot | None:
    """Return score against the bytes of the largest artifact; None if no log states them."""
    drawn = near_points(points, "bpb", "bytes")
    if not drawn:
        return None
    limits = [limit for entry in entries if (limit := entry.standing.group["limit_bytes"])]
    near = limits_near(limits, max(each["bytes"] for each in drawn))
    x = axis(
        "bytes",
        frame([*(each["bytes"] for each in drawn), *near]),
        title="bytes of the largest artifact",
        axis={"grid": True, "labelExpr": SHORT_NUMBER},
    )
    spec = chart(
        f"{BPB} against bytes of the largest artifact",
        [*limit_layers(near, x), record_layer(drawn, x, ("bytes", "bytes", BYTES_FORMAT))],
        height=340,
        title={"text": BPB, "offset": 26 if near else 10},
        params=[PICKED],
    )
    caption = " ".join(filter(None, [CAPTION, limit_words(limits, near), left_out_words(points, drawn, "size")]))
    return Plot("Score against size", caption, spec, legend(keys, drawn), is_wide=True)


def record_layer(points: Sequence[Json], x: Json, tip: Any) -> Json:
    """Return the points, each a link to its evidence."""
    tips = (("name", "record"), ("rank", "rank", "d"), ("bpb", BPB, BPB_FORMAT), ("n", "seeds", "d"), tip)
    return layer(
        points,
        "point",
        tip=(*tips, ("methods", "methods")),
        style={"size": 75, "stroke": CARD, "strokeWidth": 1, "cursor": "pointer"},
        x=x,
        y=axis("bpb", frame([each["bpb"] for each in points])),
        fill=COLOUR,
        shape=SHAPE,
        href={"field": "href", "type": "nominal"},
        opacity=unless_untagged(0.9),
    )


def unless_untagged(usual: float) -> Json:
    """Return a channel of opacity: while a method is pointed at, records that do not name it fade."""
    return {"condition": {"test": "picked === '' || indexof(datum.tags, picked) >= 0", "value": usual}, "value": 0.08}


def legend(keys: dict[str, Key], points: Sequence[Json]) -> list[Key]:
    """Return the entries of the legend that a drawn record names."""
    named = {tag for each in points for tag in each["tags"]}
    return [key for name, key in keys.items() if name in named]


def left_out_words(points: Sequence[Json], drawn: Sequence[Json], field: str) -> str:
    """Return a sentence about the ranked records that a plot does not show; empty if it shows all."""
    shown = {each["href"] for each in drawn}
    names = [each["name"] for each in points if each["href"] not in shown]
    if not names:
        return ""
    more = f" and {len(names) - MOST_LISTED:,} more" if len(names) > MOST_LISTED else ""
    return f"Not drawn, for want of a {field} or far from the others: {', '.join(names[:MOST_LISTED])}{more}."


def ranking_table(entries: Sequence[tuple[str, Entry]]) -> Table:
    """Return the table of the ranked records."""
    rows = [ranking_cells(entry) for _, entry in entries]
    caption = "mean over seeds, best first; a problem does not change the rank"
    return Table("ranking", "Ranking", caption, RANKING_COLUMNS, linked(RANKING_COLUMNS, rows, entries))


def refused_table(entries: Sequence[tuple[str, Entry]]) -> Table:
    """Return the table of the records that are not ranked."""
    rows = [refused_cells(entry) for _, entry in entries]
    return Table("refused", "Not ranked", "with the reason", REFUSED_COLUMNS, linked(REFUSED_COLUMNS, rows, entries))


def linked(
    columns: Sequence[str], rows: Sequence[Sequence[str]], entries: Sequence[tuple[str, Entry]]
) -> list[list[Cell]]:
    """Return rows as cells; the name of a record links to its evidence."""
    return [
        [
            replace(cell(column, text), anchor=anchor) if column == "record" else cell(column, text)
            for column, text in zip(columns, row, strict=True)
        ]
        for row, (anchor, _) in zip(rows, entries, strict=True)
    ]


def ranking_cells(entry: Entry) -> list[str]:
    """Return the cells of a ranked record."""
    standing = entry.standing
    return [
        str(entry.rank),
        entry.name,
        format_number(standing.mean, ".6f"),
        format_number(standing.group["std"], ".6f"),
        str(standing.group["n"]),
        format_number(standing.group["max_total_bytes"], ","),
        "-" if standing.claimed_bpb is None else f"{standing.claimed_bpb}",
        standing.submitted or "-",
        ", ".join(methods_of(entry)),
        entry.verdict,
    ]


def refused_cells(entry: Entry) -> list[str]:
    """Return the cells of a record that is not ranked."""
    standing = entry.standing
    return [
        entry.name,
        format_number(standing.mean, ".6f"),
        str(standing.group["n"]),
        format_number(standing.group["max_total_bytes"], ","),
        standing.submitted or "-",
        entry.reason,
        entry.verdict,
    ]


def methods_table(entries: Sequence[Entry]) -> Table:
    """Return the table of methods: how many ranked records name each, and their best and mean score."""
    scores: dict[str, list[float]] = {}
    for entry in entries:
        for method in methods_of(entry):
            assert entry.standing.mean is not None
            scores.setdefault(method, []).append(entry.standing.mean)
    rows = [
        [method, str(len(found)), f"{min(found):.6f}", f"{fmean(found):.6f}"]
        for method, found in sorted(scores.items(), key=lambda each: (-len(each[1]), each[0]))
    ]
    cells = [[cell(column, text) for column, text in zip(METHOD_COLUMNS, row, strict=True)] for row in rows]
    return Table(
        "methods", "Methods", "as records name them, which does not prove that they use them", METHOD_COLUMNS, cells
    )


def evidence(anchor: str, entry: Entry) -> Evidence:
    """Return the evidence of a record."""
    standing = entry.standing
    headline = entry.reason if entry.rank is None else f"rank {entry.rank}, {standing.mean:.6f} {BPB}"
    facts = [
        Fact("Folder", standing.group["folder"], is_code=True),
        Fact("Metric", standing.group["metric"] or ""),
        Fact("Claimed", "" if standing.claimed_bpb is None else f"{standing.claimed_bpb} {BPB}"),
        Fact("Date", standing.submitted or ""),
        Fact("Hardware", "; ".join(standing.hardware)),
        Fact("Methods", ", ".join(f"{each.method} ({each.place})" for each in standing.methods)),
    ]
    rows = [
        [cell(*each) for each in zip(SEED_COLUMNS, seed_cells(seed), strict=True)] for seed in standing.group["seeds"]
    ]
    seeds = Table(f"{anchor}-seeds", "Seeds", "with file and line of each number", SEED_COLUMNS, rows)
    problems = [each | {"severity": each["status"]} for each in standing.problems]
    return Evidence(anchor, entry.name, headline, [fact for fact in facts if fact.text], seeds, problems)


def seed_cells(seed: Json) -> list[str]:
    """Return the cells of a seed: each number and where it was read."""
    places = seed["from"]
    return [
        "-" if seed["seed"] is None else str(seed["seed"]),
        f"{seed['val_bpb']:.8f}",
        places["val_bpb"] or "-",
        format_number(seed["total_bytes"], ","),
        places["total_bytes"] or "-",
        places["seed"] or "-",
    ]
