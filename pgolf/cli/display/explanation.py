"""Where the numbers of a report were read, and what shows its problems: the answer of `report --explain`."""

from collections.abc import Iterator

from rich.console import Console

from pgolf.cli.display.console import print_line, printable
from pgolf.records.printed import MOST_DECIMALS, Printed, Problem
from pgolf.report.rows import Group


def print_explanation(group: Group, console: Console) -> None:
    """Print the chain of each number of a group, from the lines of files to the mean, then that of each problem."""
    for line in (*number_lines(group), *problem_lines(group)):
        print_line(console, printable(line))


def number_lines(group: Group) -> Iterator[str]:
    """Yield where each number was read, and how the mean follows from them."""
    for row in group.rows:
        by_place: dict[str, list[str]] = {}
        for number, place in row.explain().items():
            if place is not None:
                by_place.setdefault(place, []).append(number)
        sources = "; ".join(f"{', '.join(numbers)} from {place}" for place, numbers in by_place.items())
        yield f"{group.name} seed {row.seed}: {sources}"
    if group.spread is not None and len(group.rows) > 1:
        scores = ", ".join(f"{row.val_bpb:.8f}" for row in group.rows)
        yield f"{group.name}: the mean {group.spread.mean:.8f} is that of {scores}"
    for claim in group.claimed():
        yield f"{group.name}: {claim.place} claims {shown(claim)}"


def problem_lines(group: Group) -> Iterator[str]:
    """Yield the numbers that show each problem, and the decimals at which they were compared."""
    for found in group.problems():
        if not isinstance(found, Problem) or not found.evidence:
            continue
        compared = "" if found.decimals is None else f", compared at {found.decimals} decimals"
        yield f"{found.rule} ({found.severity}{compared}):"
        yield from (f"  {shown(each)}  {each.place}" for each in found.evidence)


def shown(number: Printed) -> str:
    """Return a number as its file prints it; a whole one with separators, a seed without."""
    if number.decimals:
        return f"{number.value:.{min(number.decimals, MOST_DECIMALS)}f}"
    return f"{number.value:.0f}" if number.key == "seed" else f"{number.value:,.0f}"
