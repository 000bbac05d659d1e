"""The answer of --dry-run: what would run, with bytes, seconds and dollars."""

from collections.abc import Sequence

from pgolf.campaign.planning import Plan, runs_to_start, total_usd
from pgolf.cli.display.console import answer_console, in_time, print_json
from pgolf.cli.display.table import Column, FittedTable


def show_plans(plans: Sequence[Plan], is_json: bool) -> None:
    """Print what would run and what preflight refuses."""
    if is_json:
        print_json({"plans": [plan.as_json() for plan in plans]})
        return
    table = FittedTable(
        Column("spec", "name"),
        Column("seeds", "text"),
        Column("to run", "text"),
        Column("folder", "name", priority=3),
        Column("total bytes", "number"),
        Column("from", "number", priority=2),
        Column("to", "number", priority=2),
        Column("a run", "number", priority=1),
        Column("cost", "number"),
    )
    for plan in plans:
        facts = plan.as_json()
        total = facts["total_bytes"] or dict.fromkeys(("estimate", "low", "high"))
        sizes = ["?" if total[key] is None else f"{total[key]:,}" for key in ("estimate", "low", "high")]
        cost = "?" if facts["usd"] is None else f"${facts['usd']:.2f}"
        to_run = "refused" if plan.is_refused else joined(plan.starting) or "none"
        cells = (facts["name"], joined(plan.seeds), to_run, facts["folder"])
        table.add_row(*cells, *sizes, in_time(facts["seconds"]), cost)
    console = answer_console()
    console.print(table)
    usd = total_usd(plans)
    price = "an unknown price" if usd is None else f"${usd:.2f}"
    runs = sum(len(plan.seeds) for plan in plans)
    console.print(f"would run {runs_to_start(plans)} of {runs}, for {price}; nothing was started")


def joined(seeds: Sequence[int]) -> str:
    """Return seeds in one cell."""
    return ", ".join(map(str, seeds))
