"""The tables of the page: cells with the value to sort by, the kind that styles them, and links to sections."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pgolf.report.rows import Group
from pgolf.report.tables import ALL_FIT, ALL_SMOKE_TESTS, COLUMNS, FITS, SMOKE_TEST, seed_cells, verdict_of

GROUP_COLUMNS = ("run", "n", "mean bpb", "std", "95 % interval", "largest bytes", "finished", "verdict")
VERSUS_COLUMNS = (
    "run", "against", "bpb better", "nats better", "Welch t", "df", "p", "p with margin", "strict rule", "practice",
    "paired p",
)  # fmt: skip
NUMBERS = {
    "seed", "val_bpb", "val_loss", "steps", "train s", "score s", "total bytes", "n", "mean bpb", "std",
    "rank", "largest bytes", "claimed bpb", "bpb better", "nats better", "Welch t", "df", "p", "p with margin",
    "paired p",
}  # fmt: skip
WIDE = {"run", "record", "against", "verdict", "stage", "problems", "methods", "not ranked"}


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table."""

    text: str
    kind: str = ""
    """Classes of the style sheet."""
    value: str | None = None
    """The number to sort by."""
    anchor: str | None = None
    """The section that it links to."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table that is sorted by clicking its headings."""

    name: str
    title: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]


def groups_table(anchors: Sequence[tuple[str, Group]]) -> Table:
    """Return the table of the groups; each name links to the section with its anchor."""
    rows = []
    for anchor, group in anchors:
        name, *others = map(cell, GROUP_COLUMNS, group_cells(group))
        rows.append([replace(name, anchor=anchor), *others])
    return Table(
        "groups", "Groups", "mean over seeds, sample deviation, 95 % interval of the mean", GROUP_COLUMNS, rows
    )


def seeds_table(groups: Sequence[Group]) -> Table:
    """Return the table of all seeds."""
    cells = [seed_cells(group, row) for group in groups for row in group.rows]
    return Table("seeds", "Seeds", "every finished run", COLUMNS, [[*map(cell, COLUMNS, row)] for row in cells])


def versus_table(versus: Sequence[tuple[str, Mapping[str, Any]]]) -> Table:
    """Return the table of the tests against a baseline."""
    rows = [[*map(cell, VERSUS_COLUMNS, versus_cells(name, facts))] for name, facts in versus]
    return Table("versus", "Against the baseline", "one-sided tests of each group", VERSUS_COLUMNS, rows)


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
        f"{group.dates[-1]}" if group.dates else "-",
        f"{verdict}: {problems}" if problems else verdict,
    ]


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


def cell(column: str, text: str) -> Cell:
    """Return a table's cell: a number with the value to sort by, a verdict in its colour."""
    if column in NUMBERS:
        value = text.replace(",", "")
        return Cell(text, "number", value if is_number(value) else None)
    kinds = ["wide"] if column in WIDE else []
    if column == "verdict":
        kinds.append(
            "good"
            if text in (FITS, SMOKE_TEST, ALL_FIT, ALL_SMOKE_TESTS)
            else "bad"
            if "over" in text.lower()
            else "warn"
        )
    return Cell(text, " ".join(kinds))


def is_number(text: str) -> bool:
    """Return whether a cell can be sorted by value; NaN cannot."""
    try:
        return float(text) == float(text)
    except ValueError:
        return False
