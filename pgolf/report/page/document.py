"""The report as one self-contained HTML page: sortable tables, and the plots of every group.

The page loads nothing. Its content security policy allows only its own script, which sorts tables, by hash: a name that
escaped into the markup could not run anything.
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
CURVES_CAPTION = "Thin lines are seeds; the thick line is their mean."
STAGES_CAPTION = "Bits per byte before quantization, after it, and after each evaluation; means of all seeds."
BYTES_CAPTION = "Bytes of the artifact by part. Tensor groups share compressed streams in proportion to their entropy."
SCATTER_CAPTION = "Lower is better, and further left is smaller. The dashed line is the limit."
VERSUS_COLUMNS = (
    "run", "against", "bpb better", "nats better", "Welch t", "df", "p", "p with margin", "strict rule", "practice",
    "paired p",
)  # fmt: skip
KINDS: dict[Severity, str] = {"fail": "bad", "warn": "warn", "pass": "good", "unknown": "note"}
WIDE = {"run", "against", "verdict", "stage"}


def html_page(groups: Sequence[Group], versus: Sequence[tuple[str, Mapping[str, Any]]] = ()) -> str:
    """Return the page. Every name from a spec, a log or a folder is escaped."""
    style, script = resource("page.css"), resource("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    body = [
        "<h1>pgolf report</h1>",
        f"<p class='note'>{escape(describe(groups))}</p>",
        sortable("groups", GROUP_COLUMNS, [group_cells(group) for group in groups if group.rows]),
        significance_table(versus),
        figure(scatter(groups), "Score against size", SCATTER_CAPTION, [group.name for group in groups]),
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
    """Return the text of a file in this package."""
    return files("pgolf.report.page").joinpath(name).read_text(encoding="utf-8")


def describe(groups: Sequence[Group]) -> str:
    """Return one line about the page: number of groups and seeds, and the rules."""
    seeds = sum(len(group.rows) for group in groups)
    rules = dict.fromkeys(str(label) for group in groups if (label := group.as_json().get("ruleset")))
    counts = f"{len(groups)} {'group' if len(groups) == 1 else 'groups'}, {seeds} {'seed' if seeds == 1 else 'seeds'}"
    return f"{counts}; rules of {', '.join(rules)}" if rules else counts


def group_cells(group: Group) -> list[str]:
    """Return the cells of a group: its mean with number of seeds, spread and problems."""
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


def significance_table(versus: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    """Return the tests against the baseline; empty without one."""
    if not versus:
        return ""
    rows = [versus_cells(name, facts) for name, facts in versus]
    return "<h2>Against the baseline</h2>\n" + sortable("versus", VERSUS_COLUMNS, rows)


def versus_cells(name: str, facts: Mapping[str, Any]) -> list[str]:
    """Return the cells of one group's tests."""
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
        rule_cell(facts["strict"], facts["more_seeds_for_strict"]),
        rule_cell(facts["practice"], facts["more_seeds_for_practice"]),
        "-" if paired is None else f"{paired['p_one_sided']:.4g}",
    ]


def rule_cell(is_met: bool, more: int | None) -> str:
    """Return whether a rule is met, or how many more seeds would meet it."""
    return "met" if is_met else "not met" if more is None else f"{more} more seeds"


def sortable(name: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table that is sorted by clicking its headings."""
    head = "".join(
        f"<th class='{'number' if column in NUMBERS else ''}'><button type='button'>{escape(column)}</button></th>"
        for column in columns
    )
    body = "\n".join(f"<tr>{''.join(map(cell, columns, row))}</tr>" for row in rows)
    inside = f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>"
    return f"<div class='scroll'><table id='{name}'>{inside}</table></div>"


def cell(column: str, text: str) -> str:
    """Return a table's cell: a number with the value to sort by, a verdict in its colour."""
    if column in NUMBERS:
        value = text.replace(",", "")
        number = f" data-value='{escape(value)}'" if is_number(value) else ""
        return f"<td class='number'{number}>{escape(text)}</td>"
    kinds = ["wide"] if column in WIDE else []
    if column == "verdict":
        kinds.append("good" if text in ("fits", "all fit") else "bad" if "over" in text.lower() else "warn")
    return f"<td class='{' '.join(kinds)}'>{escape(text)}</td>"


def is_number(text: str) -> bool:
    """Return whether a cell can be sorted by value; NaN cannot."""
    try:
        return float(text) == float(text)
    except ValueError:
        return False


def section(group: Group) -> str:
    """Return the section of a group: its problems and its plots."""
    items = "".join(
        f"<li class='{KINDS[found.severity]}'>{escape(found.rule)}: {escape(found.message)}</li>"
        for found in group.problems()
    )
    names = [f"seed {row.seed}" for row in group.rows if row.curve()]
    seeds = figure(curves(group), "Learning curves", CURVES_CAPTION, names, is_full=True)
    pictures = [
        seeds or "<p class='note'>no training curve: the run has no metrics</p>",
        figure(waterfall(group), "Stages", STAGES_CAPTION),
        figure(byte_bars(group, group.limit_bytes), "Bytes", BYTES_CAPTION, part_names(group)),
    ]
    problems = f"<ul>{items}</ul>" if items else ""
    return f"<h2>{escape(group.name)}</h2>\n{problems}\n<div class='plots'>\n{''.join(pictures)}\n</div>"


def figure(picture: str | None, title: str, caption: str, names: Sequence[str] = (), *, is_full: bool = False) -> str:
    """Return a plot with title, legend and caption; empty if there is no plot."""
    if picture is None:
        return ""
    kind = " class='full'" if is_full else ""
    keys = "".join(map(legend_entry, range(len(names)), names))
    below = f"<figcaption>{keys}{'<br>' if keys else ''}{escape(caption)}</figcaption>"
    return f"<figure{kind}><h3>{escape(title)}</h3>{picture}{below}</figure>\n"


def legend_entry(number: int, name: str) -> str:
    """Return a name with its colour."""
    kind = f"f{number % COLOURS}"
    square = f"<svg viewBox='0 0 10 10' aria-hidden='true'><rect class='{kind}' width='10' height='10' rx='2'/></svg>"
    return f"<span class='key'>{square}{escape(name)}</span>"
