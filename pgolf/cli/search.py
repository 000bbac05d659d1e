"""`pgolf search SPEC`: better values under a budget, tried on short training first."""

from typing import Annotated

import typer

from pgolf.cli import options
from pgolf.cli.display.console import agree_to_pay
from pgolf.errors import UsageError


def search(
    spec: options.SpecArgument = None,
    usd: Annotated[
        float | None, typer.Option("--budget-usd", min=0, help="Dollars for all runs together, for example 20.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option("--budget-seconds", min=0, help="Seconds of all runs together, for example 7200.")
    ] = None,
    runs: Annotated[
        int | None, typer.Option("--budget-runs", min=1, help="Number of runs, including short ones, for example 30.")
    ] = None,
    command: Annotated[
        str | None,
        typer.Option(
            "--propose",
            metavar="CMD",
            help="Ask this command for points instead of the optimizer, for example --propose 'python propose.py'. "
            "It reads JSON on stdin and prints YAML (docs/search.md).",
        ),
    ] = None,
    assignments: options.Assignments = None,
    overlays: options.Overlays = None,
    on: options.On = None,
    runs_dir: options.RunsDir = options.DEFAULT_RUNS_DIR,
    is_agreed: options.Yes = False,
    is_json: options.Json = False,
) -> None:
    """Search for better values of the keys under `search:` in a spec. The same command continues from its ledger."""
    from pgolf.cli.display.console import say
    from pgolf.cli.display.progress import watching
    from pgolf.cli.display.search import show_search
    from pgolf.cli.running import stop_on_sigterm
    from pgolf.preflight.cost import is_rented
    from pgolf.search.loop import SearchLoop, budget_of, open_search
    from pgolf.search.proposers import CommandProposer, OptimizerProposer, Proposer
    from pgolf.specs.loading import LoadedSpec, load_spec

    budget = budget_of(usd, seconds, runs)
    extra = options.with_launcher(assignments, on)
    base = options.select_spec(spec, runs_dir, overlays, extra)
    if base.search is None:
        raise UsageError(f"{base.file} has no `search:`; add one with the keys to search, as docs/search.md shows")
    proposer: Proposer = OptimizerProposer() if command is None else CommandProposer(command)
    if is_rented(base.spec.launch) and not is_agreed:
        agree_to_pay(usd)

    def load_base(changes: list[str]) -> LoadedSpec:
        return load_spec(base.file if spec is None else spec, overlays or [], [*extra, *changes])

    stop_on_sigterm()
    with open_search(base.spec.name, runs_dir, say) as ledger, watching(is_quiet=is_json) as observer:
        loop = SearchLoop(base, base.search, load_base, proposer, budget, runs_dir, ledger, observer)
        why = loop.run()
    show_search(base.search, ledger, why, is_json)
