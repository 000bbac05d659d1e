"""`pgolf compare A B`: what differs, and what it did."""

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
from pgolf.report.compare import contrast
from pgolf.report.curves import Courses, courses_of
from pgolf.report.reading import groups_at
from pgolf.report.rows import Group
from pgolf.report.seed_rows import SeedRow
from pgolf.rulesets.ruleset import Ruleset, load_ruleset

SHOWN_GROUPS = 8
WORDS = {
    "model_bytes": "model bytes", "code_bytes": "code bytes", "total_bytes": "total bytes", "steps": "steps",
    "train_seconds": "training seconds", "evaluate_seconds": "scoring seconds", "usd": "dollars a run",
}  # fmt: skip
Side = Annotated[str, typer.Argument(metavar="A|B", help="A run, a group of seeds, or a public submission folder.")]


def compare(
    first: Side,
    second: Side,
    runs_dir: options.RunsDir = options.DEFAULT_RUNS_DIR,
    has_curves: Annotated[
        bool, typer.Option("--curves", help="Training at equal steps, tokens and seconds as well.")
    ] = False,
    rules: Annotated[
        str, typer.Option("--ruleset", help="The contest whose limits apply to records.")
    ] = "parameter_golf",
    is_json: options.Json = False,
) -> None:
    """Say which keys differ between A and B, and what that did to scores, bytes, seconds and dollars: B minus A."""
    ruleset = load_ruleset(rules)
    sides = side_of(first, runs_dir, ruleset), side_of(second, runs_dir, ruleset)
    if sides[0].name == sides[1].name and sides[0].rows == sides[1].rows:
        raise UsageError(f"{first} and {second} are one group, {sides[0].name}")
    facts = contrast(*sides)
    courses = courses_of(*sides) if has_curves else []
    if is_json:
        print_json(facts | ({"curves": [each.as_json() for each in courses]} if has_curves else {}))
        return
    console = answer_console()
    for line in headline(facts):
        console.print(line, markup=False)
    show_keys(facts, console)
    show_numbers(facts, console)
    for each in courses:
        show_course(each, facts, console)
    if has_curves and not courses:
        console.print("no axis is known to all seeds of both: there are no curves to compare")


def side_of(reference: str, runs_dir: Path, ruleset: Ruleset) -> Group:
    """The one group that a path, or a part of a group's name or folder, means; of a record the one with most seeds.

    Raises: UsageError naming those there are.
    """
    for path in (Path(reference), runs_dir / reference):
        if path.exists() and (found := [group for group in groups_at([path], ruleset) if group.rows]):
            if len(found) > 1 and not is_record(path):
                raise UsageError(f"{reference} holds {len(found)} groups; name one of {listed(found)}")
            return max(found, key=lambda group: len(group.rows))
    known = groups_at([runs_dir], ruleset) if runs_dir.exists() else []
    finished = [group for group in known if group.rows]
    exact = [group for group in finished if group.name == reference]
    matching = exact or [group for group in finished if is_called(group, reference)]
    if len(matching) == 1:
        return matching[0]
    words = "more than one group matches" if matching else "no finished run"
    raise UsageError(f"{reference}: {words}; there is {listed(matching or finished)}")


def is_called(group: Group, reference: str) -> bool:
    """Whether a group may be meant: by whole words of its name, or by the beginning of its folder."""
    words = reference.split()
    folders = {row.run.root.parent.name for row in group.rows if isinstance(row, SeedRow)}
    return set(words) <= set(group.name.split()) or any(folder.startswith(reference) for folder in folders)


def listed(groups: Sequence[Group]) -> str:
    """Some groups by name, and how many more there are."""
    names = ", ".join(repr(group.name) for group in groups[:SHOWN_GROUPS]) or "none"
    return names + (f" and {len(groups) - SHOWN_GROUPS} more" if len(groups) > SHOWN_GROUPS else "")


def headline(facts: dict[str, Any]) -> list[str]:
    """The difference in a sentence, with what must be known to believe it."""
    scores = facts["val_bpb"]
    better = "better" if scores["difference"] < 0 else "worse"
    amount = f"{abs(scores['difference']):.6f} bpb {better}" if scores["difference"] else "no difference"
    words = f"{facts['second']} against {facts['first']}: {amount}"
    if scores["ci95"] is None:
        words += "; too few seeds for an interval"
    else:
        low, high = scores["ci95"]
        basis = f"paired over {scores['pairs']} seeds" if scores["pairs"] else "of independent seeds"
        words += f", 95 % {low:+.6f} to {high:+.6f}, {basis}"
        words += "" if low * high > 0 else "; the interval holds zero"
    lines = [words]
    if (shared := facts["shared_seeds"]) is not None:
        low, high = shared["ci95"]
        interval = f"95 % {low:+.6f} to {high:+.6f}"
        lines.append(f"over the {shared['pairs']} seeds that both have: {shared['difference']:+.6f} bpb, {interval}")
    return [*lines, *(f"but: {caveat}" for caveat in facts["caveats"])]


def show_keys(facts: dict[str, Any], console: Console) -> None:
    """Nothing; the keys that differ."""
    if not facts["keys"]:
        console.print("no key is known to differ")
        return
    table = table_of("key", facts["first"], facts["second"])
    for key, values in facts["keys"].items():
        table.add_row(Text(key), *(Text(shortened(value)) for value in values))
    console.print(table)


def shortened(value: object) -> str:
    """A value that fits into a cell."""
    words = "-" if value is None else str(value)
    return words if len(words) <= 40 else f"{words[:37]}..."


def show_numbers(facts: dict[str, Any], console: Console) -> None:
    """Nothing; stages, then bytes, seconds and dollars, and what a thousandth of a bit takes of them."""
    table = table_of("", facts["first"], facts["second"], "difference", "95 %", "a thousandth of a bit takes")
    for stage in [*facts["stages"], {"stage": "headline", **facts["val_bpb"]}]:
        interval = "" if stage["ci95"] is None else f"{stage['ci95'][0]:+.6f} to {stage['ci95'][1]:+.6f}"
        numbers = f"{stage['first']:.6f}", f"{stage['second']:.6f}", f"{stage['difference']:+.6f}"
        table.add_row(Text(stage["stage"]), *numbers, interval)
    for key, row in facts["quantities"].items():
        form = ",.4f" if key == "usd" else ",.1f" if "seconds" in key else ",.0f"
        cells = ["-" if row[side] is None else f"{row[side]:{form}}" for side in ("first", "second")]
        difference = "-" if row["difference"] is None else f"{row['difference']:+{form}}"
        price = facts["per_thousandth"].get(key)
        table.add_row(WORDS[key], *cells, difference, "", "" if price is None else f"{price:+{form}} {WORDS[key]}")
    console.print(table)


def show_course(courses: Courses, facts: dict[str, Any], console: Console) -> None:
    """Nothing; the losses at equal places of one axis."""
    table = table_of(f"at {courses.axis}", facts["first"], facts["second"], "difference")
    for at, one, two in zip(courses.at, courses.first, courses.second, strict=True):
        table.add_row(f"{at:,.0f}" if at >= 100 else f"{at:.3g}", f"{one:.4f}", f"{two:.4f}", f"{two - one:+.4f}")
    console.print(f"{courses.measure}, seeds averaged, at equal {courses.axis}:")
    console.print(table)


def table_of(*columns: str) -> Table:
    """A table whose first column is words, and all others numbers."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(Text(column), justify="right" if number else "left", no_wrap=number == 0)
    return table
