"""`pgolf compare A B`: what differs between two groups, and its effect."""

from collections.abc import Sequence
from math import floor, log10
from typing import Annotated, Any

import typer
from rich.console import Console

from pgolf.cli import options
from pgolf.cli.completion import complete_group
from pgolf.cli.display.console import answer_console, print_json
from pgolf.cli.display.table import Column, FittedTable, Kind, distinct_width, shortened_names
from pgolf.errors import UsageError
from pgolf.report.compare import compare_groups, renamed
from pgolf.report.curves import MEASURES, Curves, compare_curves
from pgolf.report.reading import find_group
from pgolf.rulesets.ruleset import load_ruleset

LABELS = {
    "model_bytes": "model bytes", "code_bytes": "code bytes", "total_bytes": "total bytes", "steps": "steps",
    "train_seconds": "train seconds", "evaluate_seconds": "score seconds", "usd": "dollars a run",
}  # fmt: skip
# Decimals of a quantity; whole numbers have none.
PLACES = {"train_seconds": 1, "evaluate_seconds": 1, "usd": 4}
ABSENT, GAP, WIDEST = "-", "...", 40
# As many as other commands print.
HASH_DIGITS = 12
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
    if sides[0].name == sides[1].name:
        sides = renamed(sides[0], f"{sides[0].name} ({first})"), renamed(sides[1], f"{sides[1].name} ({second})")
    facts = compare_groups(*sides)
    reasons: list[str] = []
    curves = compare_curves(*sides, on_skip=reasons.append) if has_curves else []
    if is_json:
        facts["groups"] = [side.as_json() for side in sides]
        shown = {"curves": [each.as_json() for each in curves], "curves_skipped": reasons}
        print_json(facts | (shown if has_curves else {}))
        return
    console = answer_console()
    for line in describe_difference(facts):
        console.print(line, markup=False)
    print_keys(facts, console)
    print_numbers(facts, console)
    for number, each in enumerate(curves):
        same = next((other for other in curves[:number] if has_same_losses(each, other)), None)
        if same is None:
            print_curves(each, facts, console)
        else:
            console.print(f"{each.measure} at equal {each.axis}: the same losses as at equal {same.axis}")
    for reason in reasons:
        console.print(reason, markup=False)


def describe_difference(facts: dict[str, Any]) -> list[str]:
    """Return the difference of the scores with its interval, then the caveats."""
    scores, shared = facts["val_bpb"], facts["shared_seeds"]
    stage = "" if facts["headline_stage"] is None else f", {facts['headline_stage']}"
    lines = [f"{facts['second']} against {facts['first']}{stage}: {describe_scores(scores)}"]
    if shared is not None:
        lines.append(f"only the {shared['pairs']} shared seeds: {describe_scores(shared)}")
    return [*lines, *(f"caveat: {caveat}" for caveat in facts["caveats"])]


def describe_scores(scores: dict[str, Any]) -> str:
    """Return a difference with its sign, its interval, and what both say."""
    amount = f"{signed(scores['difference'], 6)} bpb"
    better = "better" if scores["difference"] < 0 else "worse" if scores["difference"] else "equal"
    if scores["ci95"] is None:
        return f"{amount} ({better}; too few seeds for an interval)"
    low, high = scores["ci95"]
    verdict = better if low * high > 0 else "no clear difference: the interval contains zero"
    basis = f"paired over {scores['pairs']} seeds" if scores["pairs"] else "seeds not paired"
    return f"{amount} ({verdict}), 95 % {interval_text(scores)}, {basis}"


def interval_text(scores: dict[str, Any]) -> str:
    """Return a 95 % interval; empty if there is none."""
    return "" if scores["ci95"] is None else " to ".join(signed(end, 6) for end in scores["ci95"])


def print_keys(facts: dict[str, Any], console: Console) -> None:
    """Print the keys that differ, with both values."""
    if facts["keys_note"] is not None:
        console.print(facts["keys_note"], markup=False)
    if not facts["keys"]:
        console.print("no known key differs")
        return
    table = FittedTable(Column("key", "name"), *side_columns(facts, "text"))
    for key, values in facts["keys"].items():
        is_absent = key in facts["only_second"], key in facts["only_first"]
        texts = ["null" if value is None else str(value) for value in values]
        if key.endswith("sha256"):
            texts = [text[:HASH_DIGITS] for text in texts]
        cells = (ABSENT if gone else text for gone, text in zip(is_absent, shortened(texts), strict=True))
        table.add_row(key, *cells)
    console.print(table)


def shortened(texts: Sequence[str]) -> list[str]:
    """Return two texts cut to fit into cells, so that the first place where they differ is shown."""
    alike = (one == other for one, other in zip(*texts, strict=False))
    place = next((number for number, is_alike in enumerate(alike) if not is_alike), min(map(len, texts)))
    return [text if len(text) <= WIDEST else shortened_around(text, place) for text in texts]


def shortened_around(text: str, place: int) -> str:
    """Return the part of a long text that begins a little before a place."""
    room = WIDEST - 2 * len(GAP)
    begin = 0 if place < room else min(place - room // 4, len(text) - room)
    end = begin + room
    return f"{GAP if begin else ''}{text[begin:end]}{GAP if end < len(text) else ''}"


def print_numbers(facts: dict[str, Any], console: Console) -> None:
    """Print scores by stage, then bytes, seconds and dollars with their cost per 0.001 bpb."""
    table = FittedTable(
        Column("", "text"),
        *side_columns(facts, "number"),
        Column("difference", "number"),
        Column("95 %", "number"),
        Column("cost of 0.001 bpb", "number", priority=1),
    )
    headline = [] if facts["headline_stage"] else [{"stage": "headline", **facts["val_bpb"]}]
    for stage in [*facts["stages"], *headline]:
        numbers = f"{stage['first']:.6f}", f"{stage['second']:.6f}", signed(stage["difference"], 6)
        table.add_row(stage["stage"], *numbers, interval_text(stage), "")
    prices = facts["per_thousandth"]
    for key, row in facts["quantities"].items():
        sides = row["first"], row["second"]
        if sides in ((None, None), (0.0, 0.0)):
            continue
        places = PLACES.get(key, 0)
        if key not in PLACES and any(side is not None and not float(side).is_integer() for side in sides):
            places = 1  # a mean of whole numbers
        cells = [ABSENT if side is None else with_digits(side, places) for side in sides]
        more = [None if number is None else signed(number, places) for number in (row["difference"], prices.get(key))]
        table.add_row(LABELS[key], *cells, more[0] or ABSENT, "", more[1] or "")
    console.print(table)
    if any(price is not None for price in prices.values()):
        is_second = facts["val_bpb"]["difference"] < 0
        better, worse = (facts[side] for side in (("second", "first") if is_second else ("first", "second")))
        console.print(
            f"cost of 0.001 bpb: what {better} takes more than {worse}, for each 0.001 bpb by which it is better",
            markup=False,
        )


def print_curves(curves: Curves, facts: dict[str, Any], console: Console) -> None:
    """Print the losses at equal places of one axis."""
    table = FittedTable(Column(f"at {curves.axis}"), *side_columns(facts, "number"), Column("difference", "number"))
    for at, one, two in zip(curves.at, curves.first, curves.second, strict=True):
        place = f"{at:.3g}" if at < 100 and curves.axis == "seconds" else f"{at:,.0f}"
        table.add_row(place, f"{one:.4f}", f"{two:.4f}", signed(two - one, 4))
    unit = MEASURES[curves.measure]
    console.print(f"{curves.measure} at equal {curves.axis}, in {unit}, averaged over seeds:")
    console.print(table)


def has_same_losses(one: Curves, other: Curves) -> bool:
    """Return whether two axes show the same losses, as steps and tokens do if both groups have one batch size."""
    return all(
        len(a) == len(b) and all(abs(x - y) < 1e-9 for x, y in zip(a, b, strict=True))
        for a, b in ((one.first, other.first), (one.second, other.second))
    )


def signed(number: float, places: int) -> str:
    """Return a difference with its sign."""
    return with_digits(number, places, sign="+")


def with_digits(number: float, places: int, sign: str = "-") -> str:
    """Return a number with so many decimals, or more where it would have fewer than two digits other than zero."""
    if number == 0:
        return "0"
    digits = places if float(number).is_integer() else max(places, 1 - floor(log10(abs(number))))
    return f"{number:{sign},.{digits}f}"


def side_columns(facts: dict[str, Any], kind: Kind) -> tuple[Column, Column]:
    """Return the columns of both groups, with names as short as they can be without being equal."""
    names = [facts["first"], facts["second"]]
    titles = shortened_names(names, distinct_width(names))
    return Column(titles[names[0]], kind), Column(titles[names[1]], kind)
