"""Groups of seeds on a terminal: the table, references to compare with, cost, and problems."""

from collections.abc import Sequence

from rich.console import Console

from pgolf.cli.display.console import printable
from pgolf.data.references import describe_references
from pgolf.report.rows import Group
from pgolf.report.tables import rich_table


def print_groups(groups: Sequence[Group], console: Console) -> None:
    """Print the table of all groups, what their scores compare with, and every problem."""
    console.print(rich_table(groups))
    for description, of_same_text in by_reference(groups).items():
        own = ", ".join(
            f"{group.name} {group.spread.mean:.4f} bpb" for group in of_same_text if group.spread is not None
        )
        console.print(f"the same validation bytes: {description}, {own}", markup=False)
    for group in groups:
        if group.usd:
            console.print(f"cost: ${group.usd:.2f} for {len(group.rows)} runs of {group.name}")
        for finding in group.problems():
            style = "yellow" if finding.severity == "warn" else "red"
            prefix = f"{group.name}: " if len(groups) > 1 else ""
            console.print(printable(f"{prefix}{finding.rule}: {finding.message}"), style=style, markup=False)


def by_reference(groups: Sequence[Group]) -> dict[str, list[Group]]:
    """Return groups by the scores of simple methods on their validation bytes, so that each is printed once."""
    found: dict[str, list[Group]] = {}
    for group in groups:
        references = group.rows[0].references() if group.rows else None
        if references is not None and group.spread is not None:
            found.setdefault(describe_references(references), []).append(group)
    return found
