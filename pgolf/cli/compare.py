"""`pgolf compare A B`: what differs between two groups, and its effect."""

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pgolf.cli import options
from pgolf.cli.completion import complete_group
from pgolf.cli.display.console import answer_console, print_json
from pgolf.errors import UsageError
from pgolf.report.compare import compare_groups
from pgolf.report.curves import Curves, compare_curves
from pgolf.report.reading import find_group
from pgolf.rulesets.ruleset import load_ruleset

LABELS = {
    "model_bytes": "model bytes", "code_bytes": "code bytes", "total_bytes": "total bytes", "steps": "steps",
    "train_seconds": "training seconds", "evaluate_seconds": "scoring seconds", "usd": "dollars per run",
}  # fmt: skip
GROUP_HELP = "A run folder, a folder of seeds, a submission folder, or words of a group's name in the report."


def compare(
    first: Annotated[str, typer.Argument(metavar="A", help=GROUP_HELP, autocompletion=complete_group)],
    second: Annotated[
        str,
        typer.Argument(
            metavar="B", help="The group to compare with A, named in the same way.", autocompletion=complete_group
        ),
    ],
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
        facts["groups"] = [side.as_json() for side in sides]
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
