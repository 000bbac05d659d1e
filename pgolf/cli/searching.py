"""`pgolf search SPEC`: better values under a budget, tried on little training first."""

from typing import Annotated

import typer

from pgolf.cli import options
from pgolf.cli.console import agree_to_pay
from pgolf.cli.hunt import LEDGER, Again, Budget, Hunt
from pgolf.cli.planning import Manner
from pgolf.cli.search_display import show_search
from pgolf.errors import UsageError
from pgolf.preflight.cost import is_rented
from pgolf.searching.ledger import held, read_ledger
from pgolf.searching.proposers import CommandProposer, OptimizerProposer, Proposer


def search(
    spec: options.SpecArgument = None,
    usd: Annotated[float | None, typer.Option("--budget-usd", min=0, help="Dollars for all of it.")] = None,
    seconds: Annotated[float | None, typer.Option("--budget-seconds", min=0, help="Seconds of all its runs.")] = None,
    runs: Annotated[int | None, typer.Option("--budget-runs", min=1, help="Runs, short ones as well.")] = None,
    command: Annotated[
        str | None,
        typer.Option("--propose", metavar="CMD", help="A program that proposes points: JSON in, YAML out."),
    ] = None,
    assignments: options.Assignments = None,
    overlays: options.Overlays = None,
    on: options.On = None,
    runs_dir: options.RunsDir = options.DEFAULT_RUNS_DIR,
    is_agreed: options.Yes = False,
    is_json: options.Json = False,
) -> None:
    """Look for better values of the keys under `search:` in a spec. The same command goes on from its ledger."""
    budget = budget_of(usd, seconds, runs)
    extra = [*(assignments or []), *([f"launch.on={on}"] if on else [])]
    base = options.select_any(spec, runs_dir, overlays, extra)
    if base.search is None:
        raise UsageError(f"{base.file}: no `search:`; it names keys with ranges or lists, as docs/search.md shows")
    proposer: Proposer = OptimizerProposer() if command is None else CommandProposer(command)
    manner = Manner(
        runs_dir=runs_dir, is_detached=False, is_fresh=False, is_dry=False, is_agreed=True, is_json=is_json
    )  # fmt: skip
    if is_rented(base.spec.launch) and not is_agreed:
        agree_to_pay(usd)
    folder = runs_dir / f"{base.spec.name}.search"
    with held(folder):
        hunt = Hunt(base, base.search, Again(spec, base, overlays or [], extra), proposer, budget, manner)
        hunt.ledger = read_ledger(folder / LEDGER)
        why = hunt.go()
    show_search(base.search, hunt.ledger, why, is_json)


def budget_of(usd: float | None, seconds: float | None, runs: int | None) -> Budget:
    """The budget of the arguments.

    Raises: UsageError unless there is just one.
    """
    given = [Budget(unit, amount) for unit, amount in (("usd", usd), ("seconds", seconds), ("runs", runs)) if amount]
    if len(given) != 1:
        raise UsageError("a search needs one of --budget-usd, --budget-seconds and --budget-runs")
    return given[0]
