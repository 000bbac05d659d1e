"""Groups as tables: for the terminal, for Markdown, for spreadsheets."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from pgolf.report.rows import Group, Row

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = ("run", "seed", "val_bpb", "val_loss", "stage", "steps", "train s", "score s", "total bytes", "verdict")
SUMMARY = "mean"


def seed_cells(group: Group, row: Row) -> list[str]:
    """The cells of one seed."""
    facts = row.as_json()
    verdict = ", ".join(problem["rule"] for problem in facts["problems"]) or "fits"
    return [
        group.name,
        str(facts["seed"]),
        f"{facts['val_bpb']:.6f}",
        f"{facts['val_loss']:.6f}",
        f"{facts['stage']} {facts['protocol']}",
        in_form(facts["steps"], ","),
        in_form(facts["train_seconds"], ".1f"),
        in_form(facts["evaluate_seconds"], ".1f"),
        in_form(facts["total_bytes"], ","),
        verdict,
    ]


def in_form(number: float | None, form: str) -> str:
    """A number in a form; a dash where it is not known."""
    return "-" if number is None else f"{number:{form}}"


def summary_cells(group: Group) -> list[str]:
    """The cells of a group: mean, spread, largest artifact, verdict against the cap."""
    spread = group.spread
    assert spread is not None
    interval = ""
    if spread.std is not None and spread.ci95 is not None:
        interval = f"std {spread.std:.6f}, 95% {spread.ci95[0]:.4f} to {spread.ci95[1]:.4f}"
    return [
        group.name,
        f"n={spread.n}",
        f"{spread.mean:.6f}",
        interval,
        SUMMARY,
        "",
        "",
        "",
        in_form(group.max_total_bytes, ","),
        verdict_of(group),
    ]


def verdict_of(group: Group) -> str:
    """Whether all seeds keep the limits, as far as is known, in two words."""
    late = {"over_time", "eval_over_time"}
    if group.is_over_limit:
        return "OVER THE LIMIT"
    if any(found.rule in late and found.severity == "fail" for row in group.rows for found in row.problems()):
        return "OVER TIME"
    if any(row.as_json()["total_bytes"] is None for row in group.rows):
        return "SIZE UNKNOWN"
    return "all fit"


def all_rows(groups: Iterable[Group]) -> Iterable[list[str]]:
    """Seeds of each group, then its summary."""
    for group in groups:
        yield from (seed_cells(group, row) for row in group.rows)
        if len(group.rows) > 1:
            yield summary_cells(group)


def markdown_table(groups: Sequence[Group]) -> str:
    """The table for a README, problems below it."""
    problems = [
        f"- {markdown_text(f'{group.name}: {finding.rule}: {finding.message}')}"
        for group in groups
        for finding in group.problems()
    ]
    return "\n".join([*markdown_lines(COLUMNS, all_rows(groups)), "", *problems]).rstrip() + "\n"


def markdown_lines(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table, whatever its cells hold."""
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    return lines + [f"| {' | '.join(map(markdown_text, cells))} |" for cells in rows]


def markdown_text(words: str) -> str:
    """Words that Markdown shows as they are: no column, no line and no tag of their own."""
    return " ".join(words.split()).replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")


def spreadsheet_cell(value: object) -> object:
    """A cell that no spreadsheet takes for a formula."""
    return (
        f"'{value}"
        if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) and value != "-"
        else value
    )


def csv_table(groups: Sequence[Group]) -> str:
    """One line a seed, numbers unrounded."""
    text = io.StringIO()
    facts = [{"name": group.name, **row.as_json()} for group in groups for row in group.rows]
    columns = dict.fromkeys(key for row in facts for key in row if key != "from") or {"name": None}
    writer = csv.DictWriter(text, fieldnames=list(columns), extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in facts:
        row["problems"] = "; ".join(problem["rule"] for problem in row["problems"])
        writer.writerow({key: spreadsheet_cell(value) for key, value in row.items()})
    return text.getvalue()


def rich_table(groups: Sequence[Group]) -> "Table":
    """The table for a terminal."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    numeric = {"seed", "val_bpb", "val_loss", "steps", "train s", "score s", "total bytes"}
    for column in COLUMNS:
        table.add_column(column, justify="right" if column in numeric else "left", no_wrap=column != "val_loss")
    for cells in all_rows(groups):
        is_summary = cells[4] == SUMMARY
        bad = cells[-1] not in ("fits", "all fit")
        style = "bold red" if bad else "bold" if is_summary else None
        table.add_row(*(Text(cell) for cell in cells), style=style, end_section=is_summary)
    return table
