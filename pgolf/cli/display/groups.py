"""Groups of seeds on a terminal: the table, references to compare with, cost, and problems."""

from collections.abc import Sequence

from rich.console import Console

from pgolf.cli.display.console import printable
from pgolf.report.rows import Group, groups_by_reference
from pgolf.report.tables import rich_table


def print_groups(groups: Sequence[Group], console: Console) -> None:
    """Print the table of all groups, what their scores compare with, and every problem."""
    console.print(rich_table(groups))
    for description, of_same_text in groups_by_reference(groups).items():
        own = ", ".join(
            f"{group.name} {group.spread.mean:.4f} bpb" for group in of_same_text if group.spread is not None
        )
        console.print(f"on the same validation bytes: {description}, {own}", markup=False)
    for group in groups:
        if group.usd:
            console.print(f"cost: ${group.usd:.2f} for {len(group.rows)} runs of {group.name}")
        for finding in group.problems():
            style = "yellow" if finding.severity == "warn" else "red"
            prefix = f"{group.name}: " if len(groups) > 1 else ""
            console.print(printable(f"{prefix}{finding.rule}: {finding.message}"), style=style, markup=False)
