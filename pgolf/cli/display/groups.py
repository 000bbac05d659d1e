"""Groups of seeds on a terminal: the table, references to compare with, cost, and problems."""

from collections.abc import Sequence

from rich.console import Console

from pgolf.cli.display.console import print_line, printable
from pgolf.cli.display.table import Column, FittedTable
from pgolf.findings import counted
from pgolf.report.rows import Group, groups_by_reference
from pgolf.report.tables import (
    ALL_FIT,
    ALL_SMOKE_TESTS,
    FITS,
    SMOKE_TEST,
    damaged_cells,
    seed_cells,
    summary_parts,
    verdict_of,
)

# In the order of `seed_cells`.
COLUMNS = (
    Column("run", "name"),
    Column("seed", "number"),
    Column("val_bpb", "number"),
    Column("val_loss", "number", priority=3),
    Column("stage", priority=2),
    Column("steps", "number", priority=4),
    Column("train s", "number", priority=5),
    Column("score s", "number", priority=6),
    Column("total bytes", "number", priority=1),
    Column("verdict", "text"),
)


def groups_table(groups: Sequence[Group]) -> FittedTable:
    """Return the table of all seeds, each group of several with a line of its mean and spread."""
    table = FittedTable(*COLUMNS)
    for group in groups:
        for row in group.rows:
            cells = seed_cells(group, row)
            table.add_row(*cells, style="" if cells[-1] in (FITS, SMOKE_TEST) else "red")
        for cells in damaged_cells(group):
            table.add_row(*cells, style="red")
        if len(group.rows) > 1:
            style = "bold" if verdict_of(group) in (ALL_FIT, ALL_SMOKE_TESTS) else "bold red"
            table.add_line(*summary_parts(group), style=style)
    return table


def print_groups(groups: Sequence[Group], console: Console) -> None:
    """Print the table of all groups, what their scores compare with, and every problem."""
    console.print(groups_table(groups))
    for description, of_same_text in groups_by_reference(groups).items():
        own = ", ".join(
            f"{group.name} {group.spread.mean:.4f} bpb" for group in of_same_text if group.spread is not None
        )
        print_line(console, f"on the same validation bytes: {description}, {own}")
    for group in groups:
        if group.usd:
            print_line(console, f"cost: ${group.usd:.2f} for {counted(len(group.rows), 'run')} of {group.name}")
        if (target := group.target()) is not None and target.severity == "pass":
            print_line(console, printable(f"{group.name}: target reached: {target.message}"), "green")
        for finding in group.problems():
            style = "yellow" if finding.severity == "warn" else "red"
            prefix = f"{group.name}: " if len(groups) > 1 else ""
            print_line(console, printable(f"{prefix}{finding.severity} {finding.rule}: {finding.message}"), style)
