"""The report as one self-contained HTML page: sortable tables, and the pictures of every group.

Nothing is loaded from anywhere. The one script sorts tables; the page forbids every other by its hash, so that a name
that somehow came out as a tag would still run nothing.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

from pgolf.findings import Severity
from pgolf.report.page.plots import byte_bars, curves, part_names, scatter, waterfall
from pgolf.report.page.svg import COLOURS
from pgolf.report.page.sweeps import CAPTION as SWEEP_CAPTION
from pgolf.report.page.sweeps import sweep_pictures
from pgolf.report.rows import Group
from pgolf.report.tables import COLUMNS, seed_cells, verdict_of

GROUP_COLUMNS = ("run", "n", "mean bpb", "std", "95 % interval", "largest bytes", "verdict")
NUMBERS = {
    "seed", "val_bpb", "val_loss", "steps", "train s", "score s", "total bytes", "n", "mean bpb", "std",
    "largest bytes", "bpb better", "nats better", "Welch t", "df", "p", "p with margin", "paired p",
}  # fmt: skip
CURVES_CAPTION = "Thin lines are seeds, the thick one is their mean."
STAGES_CAPTION = "Bits per byte before packing, after it, and by each evaluation; means of all seeds."
BYTES_CAPTION = "What the artifact is made of; tensor groups share the compressed streams by their entropy."
SCATTER_CAPTION = "Lower is better, and so is further left. A dashed line is the limit."
VERSUS_COLUMNS = (
    "run", "against", "bpb better", "nats better", "Welch t", "df", "p", "p with margin", "strict rule", "practice",
    "paired p",
)  # fmt: skip
KINDS: dict[Severity, str] = {"fail": "bad", "warn": "warn", "pass": "good", "unknown": "note"}
WIDE = {"run", "against", "verdict", "stage"}


def html_page(groups: Sequence[Group], versus: Sequence[tuple[str, Mapping[str, Any]]] = ()) -> str:
    """The page. Every name from a spec, a log or a folder is escaped."""
    style, script = resource("page.css"), resource("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    body = [
        "<h1>pgolf report</h1>",
        f"<p class='note'>{escape(described(groups))}</p>",
        sortable("groups", GROUP_COLUMNS, [group_cells(group) for group in groups if group.rows]),
        comparison(versus),
        figure(scatter(groups), "Every seed", SCATTER_CAPTION, [group.name for group in groups]),
        *(
            figure(picture, f"Swept: {key}", SWEEP_CAPTION, names, is_full=True)
            for key, picture, names in sweep_pictures(groups)
        ),
        "<h2>Seeds</h2>",
        sortable("seeds", COLUMNS, [seed_cells(group, row) for group in groups for row in group.rows]),
        *(section(group) for group in groups),
    ]
    return (
        "<!doctype html>\n<html lang='en'>\n<head>\n<meta charset='utf-8'>\n"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>\n"
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f"<title>pgolf report</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + f"\n<script>{script}</script>\n</body>\n</html>\n"
    )


@cache
def resource(name: str) -> str:
    """A file beside this one."""
    return files("pgolf.report.page").joinpath(name).read_text(encoding="utf-8")


def described(groups: Sequence[Group]) -> str:
    """What the page is about, in a line."""
    seeds = sum(len(group.rows) for group in groups)
    rules = dict.fromkeys(str(label) for group in groups if (label := group.as_json().get("ruleset")))
    words = f"{len(groups)} {'group' if len(groups) == 1 else 'groups'}, {seeds} {'seed' if seeds == 1 else 'seeds'}"
    return f"{words}; rules of {', '.join(rules)}" if rules else words


def group_cells(group: Group) -> list[str]:
    """A group's line: its mean with what it rests on."""
    spread = group.spread
    assert spread is not None
    interval = "-" if spread.ci95 is None else f"{spread.ci95[0]:.6f} to {spread.ci95[1]:.6f}"
    problems = ", ".join(dict.fromkeys(found.rule for found in group.problems()))
    verdict = verdict_of(group)
    return [
        group.name,
        str(spread.n),
        f"{spread.mean:.6f}",
        "-" if spread.std is None else f"{spread.std:.6f}",
        interval,
        "-" if group.max_total_bytes is None else f"{group.max_total_bytes:,}",
        f"{verdict}: {problems}" if problems else verdict,
    ]


def comparison(versus: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    """The tests against the baseline; nothing without one."""
    if not versus:
        return ""
    rows = [versus_cells(name, facts) for name, facts in versus]
    return "<h2>Against the baseline</h2>\n" + sortable("versus", VERSUS_COLUMNS, rows)


def versus_cells(name: str, facts: Mapping[str, Any]) -> list[str]:
    """One group's tests."""
    paired = facts["paired"]
    return [
        name,
        facts["baseline"],
        f"{-facts['delta_bpb']:.6f}",
        f"{-facts['delta_nats']:.6f}",
        "-" if facts["welch_t"] is None else f"{facts['welch_t']:.3f}",
        f"{facts['df']:.2f}",
        f"{facts['p_one_sided']:.4g}",
        f"{facts['p_with_margin']:.4g}",
        in_a_word(facts["strict"], facts["more_seeds_for_strict"]),
        in_a_word(facts["practice"], facts["more_seeds_for_practice"]),
        "-" if paired is None else f"{paired['p_one_sided']:.4g}",
    ]


def in_a_word(is_met: bool, more: int | None) -> str:
    """A test's verdict, and how many more seeds would change it."""
    return "met" if is_met else "not met" if more is None else f"{more} more seeds"


def sortable(name: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose headings sort it."""
    head = "".join(
        f"<th class='{'number' if column in NUMBERS else ''}'><button type='button'>{escape(column)}</button></th>"
        for column in columns
    )
    body = "\n".join(f"<tr>{''.join(map(cell, columns, row))}</tr>" for row in rows)
    inside = f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>"
    return f"<div class='scroll'><table id='{name}'>{inside}</table></div>"


def cell(column: str, words: str) -> str:
    """A table's cell; of a number with the value to sort by, of a verdict in its colour."""
    if column in NUMBERS:
        value = words.replace(",", "")
        number = f" data-value='{escape(value)}'" if is_number(value) else ""
        return f"<td class='number'{number}>{escape(words)}</td>"
    kinds = ["wide"] if column in WIDE else []
    if column == "verdict":
        kinds.append("good" if words in ("fits", "all fit") else "bad" if "over" in words.lower() else "warn")
    return f"<td class='{' '.join(kinds)}'>{escape(words)}</td>"


def is_number(words: str) -> bool:
    """Whether a cell can be sorted by value."""
    try:
        return float(words) == float(words)
    except ValueError:
        return False


def section(group: Group) -> str:
    """A group's pictures, and what a reader of its mean must know."""
    items = "".join(
        f"<li class='{KINDS[found.severity]}'>{escape(found.rule)}: {escape(found.message)}</li>"
        for found in group.problems()
    )
    names = [f"seed {row.seed}" for row in group.rows if row.curve()]
    seeds = figure(curves(group), "Learning curves", CURVES_CAPTION, names, is_full=True)
    pictures = [
        seeds or "<p class='note'>no metrics were kept</p>",
        figure(waterfall(group), "Stages", STAGES_CAPTION),
        figure(byte_bars(group, group.as_json().get("limit_bytes")), "Bytes", BYTES_CAPTION, part_names(group)),
    ]
    problems = f"<ul>{items}</ul>" if items else ""
    return f"<h2>{escape(group.name)}</h2>\n{problems}\n<div class='plots'>\n{''.join(pictures)}\n</div>"


def figure(picture: str | None, title: str, caption: str, names: Sequence[str] = (), *, is_full: bool = False) -> str:
    """A picture with its words and, for each name, its colour; nothing where there is no picture."""
    if picture is None:
        return ""
    kind = " class='full'" if is_full else ""
    keys = "".join(map(key, range(len(names)), names))
    words = f"<figcaption>{keys}{'<br>' if keys else ''}{escape(caption)}</figcaption>"
    return f"<figure{kind}><h3>{escape(title)}</h3>{picture}{words}</figure>\n"


def key(number: int, name: str) -> str:
    """A name beside its colour."""
    kind = f"f{number % COLOURS}"
    square = f"<svg viewBox='0 0 10 10' aria-hidden='true'><rect class='{kind}' width='10' height='10' rx='2'/></svg>"
    return f"<span class='key'>{square}{escape(name)}</span>"
