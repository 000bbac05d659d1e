"""`pgolf compare A B`: what differs between two groups, and its effect."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pgolf.cli import options
from pgolf.cli.display.console import answer_console, print_json
from pgolf.errors import UsageError
from pgolf.records.folder import is_record
from pgolf.report.compare import compare_groups
from pgolf.report.curves import Curves, compare_curves
from pgolf.report.reading import groups_at
from pgolf.report.rows import Group
from pgolf.report.seed_rows import SeedRow
from pgolf.rulesets.ruleset import Ruleset, load_ruleset

SHOWN_GROUPS = 8
LABELS = {
    "model_bytes": "model bytes", "code_bytes": "code bytes", "total_bytes": "total bytes", "steps": "steps",
    "train_seconds": "training seconds", "evaluate_seconds": "scoring seconds", "usd": "dollars per run",
}  # fmt: skip
Side = Annotated[
    str,
    typer.Argument(
        metavar="A|B",
        help="A run folder, a folder of seeds, a submission folder, or words of a group's name in the report.",
    ),
]


def compare(
    first: Side,
    second: Side,
    runs_dir: options.RunsDir = options.DEFAULT_RUNS_DIR,
    has_curves: Annotated[
        bool, typer.Option("--curves", help="Also compare training losses at equal steps, tokens and seconds.")
    ] = False,
    rules: Annotated[
        str, typer.Option("--ruleset", help="Judge public records by the limits of this ruleset.")
    ] = "parameter_golf",
    is_json: options.Json = False,
) -> None:
    """Show which keys differ between A and B, and the differences of scores, bytes, seconds and dollars: B minus A."""
    ruleset = load_ruleset(rules)
    sides = find_group(first, runs_dir, ruleset), find_group(second, runs_dir, ruleset)
    if sides[0].name == sides[1].name and sides[0].rows == sides[1].rows:
        raise UsageError(f"{first} and {second} are the same group, {sides[0].name}")
    facts = compare_groups(*sides)
    curves = compare_curves(*sides) if has_curves else []
    if is_json:
        print_json(facts | ({"curves": [each.as_json() for each in curves]} if has_curves else {}))
        return
    console = answer_console()
    for line in describe_difference(facts):
        console.print(line, markup=False)
    print_keys(facts, console)
    print_numbers(facts, console)
    for each in curves:
        print_curves(each, facts, console)
    if has_curves and not curves:
        console.print("there are no curves to compare: the seeds of both groups have no logged axis in common")


def find_group(reference: str, runs_dir: Path, ruleset: Ruleset) -> Group:
    """Return the group at a path, or the one whose name or folder matches; of a record, the one with most seeds.

    Raises:
        UsageError: no group matches, or several do; the message lists them.
    """
    for path in (Path(reference), runs_dir / reference):
        if path.exists() and (found := [group for group in groups_at([path], ruleset) if group.rows]):
            if len(found) > 1 and not is_record(path):
                raise UsageError(f"{reference} holds {len(found)} groups; name one of {list_names(found)}")
            return max(found, key=lambda group: len(group.rows))
    known = groups_at([runs_dir], ruleset) if runs_dir.exists() else []
    finished = [group for group in known if group.rows]
    exact = [group for group in finished if group.name == reference]
    matching = exact or [group for group in finished if has_name(group, reference)]
    if len(matching) == 1:
        return matching[0]
    reason = "more than one group matches" if matching else "no finished run matches"
    raise UsageError(f"{reference}: {reason}; name one of {list_names(matching or finished)}")


def has_name(group: Group, reference: str) -> bool:
    """Return whether a reference matches whole words of a group's name, or the beginning of its folder's name."""
    words = reference.split()
    folders = {row.run.root.parent.name for row in group.rows if isinstance(row, SeedRow)}
    return set(words) <= set(group.name.split()) or any(folder.startswith(reference) for folder in folders)


def list_names(groups: Sequence[Group]) -> str:
    """Return the names of the first groups, and the number of the others."""
    names = ", ".join(repr(group.name) for group in groups[:SHOWN_GROUPS]) or "(no finished group)"
    return names + (f" and {len(groups) - SHOWN_GROUPS} more" if len(groups) > SHOWN_GROUPS else "")


def describe_difference(facts: dict[str, Any]) -> list[str]:
    """Return the difference of the scores with its interval, then the caveats."""
    scores = facts["val_bpb"]
    better = "better" if scores["difference"] < 0 else "worse"
    amount = f"{abs(scores['difference']):.6f} bpb {better}" if scores["difference"] else "no difference"
    summary = f"{facts['second']} against {facts['first']}: {amount}"
    if scores["ci95"] is None:
        summary += "; too few seeds for an interval"
    else:
        low, high = scores["ci95"]
        basis = f"paired over {scores['pairs']} seeds" if scores["pairs"] else "seeds not paired"
        summary += f", 95 % {low:+.6f} to {high:+.6f}, {basis}"
        summary += "" if low * high > 0 else "; the interval contains zero"
    lines = [summary]
    if (shared := facts["shared_seeds"]) is not None:
        low, high = shared["ci95"]
        interval = f"95 % {low:+.6f} to {high:+.6f}"
        lines.append(f"over the {shared['pairs']} shared seeds: {shared['difference']:+.6f} bpb, {interval}")
    return [*lines, *(f"caveat: {caveat}" for caveat in facts["caveats"])]


def print_keys(facts: dict[str, Any], console: Console) -> None:
    """Print the keys that differ, with both values."""
    if not facts["keys"]:
        console.print("no known key differs")
        return
    table = make_table("key", facts["first"], facts["second"])
    for key, values in facts["keys"].items():
        table.add_row(Text(key), *(Text(shortened(value)) for value in values))
    console.print(table)


def shortened(value: object) -> str:
    """Return a value as text, cut to fit into a cell."""
    text = "-" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def print_numbers(facts: dict[str, Any], console: Console) -> None:
    """Print scores by stage, then bytes, seconds and dollars with their cost per 0.001 bpb."""
    table = make_table("", facts["first"], facts["second"], "difference", "95 %", "cost of 0.001 bpb")
    for stage in [*facts["stages"], {"stage": "headline", **facts["val_bpb"]}]:
        interval = "" if stage["ci95"] is None else f"{stage['ci95'][0]:+.6f} to {stage['ci95'][1]:+.6f}"
        numbers = f"{stage['first']:.6f}", f"{stage['second']:.6f}", f"{stage['difference']:+.6f}"
        table.add_row(Text(stage["stage"]), *numbers, interval)
    for key, row in facts["quantities"].items():
        form = ",.4f" if key == "usd" else ",.1f" if "seconds" in key else ",.0f"
        cells = ["-" if row[side] is None else f"{row[side]:{form}}" for side in ("first", "second")]
        difference = "-" if row["difference"] is None else f"{row['difference']:+{form}}"
        price = facts["per_thousandth"].get(key)
        table.add_row(LABELS[key], *cells, difference, "", "" if price is None else f"{price:+{form}} {LABELS[key]}")
    console.print(table)


def print_curves(curves: Curves, facts: dict[str, Any], console: Console) -> None:
    """Print the losses at equal places of one axis."""
    table = make_table(f"at {curves.axis}", facts["first"], facts["second"], "difference")
    for at, one, two in zip(curves.at, curves.first, curves.second, strict=True):
        table.add_row(f"{at:,.0f}" if at >= 100 else f"{at:.3g}", f"{one:.4f}", f"{two:.4f}", f"{two - one:+.4f}")
    console.print(f"{curves.measure} at equal {curves.axis}, averaged over seeds:")
    console.print(table)


def make_table(*columns: str) -> Table:
    """Return a table whose first column is text and all others numbers."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(Text(column), justify="right" if number else "left", no_wrap=number == 0)
    return table
