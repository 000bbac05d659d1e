"""`pgolf run`: one seed of each spec, or of each point of its sweep."""

from typing import Annotated

import typer

from pgolf.cli import options
from pgolf.cli.planning import Manner, plan_runs, show_plans
from pgolf.cli.running import start
from pgolf.errors import UsageError
from pgolf.parents import Parent, load_child
from pgolf.rundir import find_run
from pgolf.specs.experiment import Experiment


def run(
    specs: options.SpecArguments = None,
    assignments: options.Assignments = None,
    overlays: options.Overlays = None,
    on: options.On = None,
    parent: Annotated[
        str | None,
        typer.Option(
            "--from-checkpoint", metavar="RUN", help="Train nothing: quantize, pack and score this run's weights again."
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, max=2**31 - 1, help="Default: the spec's first.")] = None,
    runs_dir: options.RunsDir = options.DEFAULT_RUNS_DIR,
    is_detached: options.Detach = False,
    is_fresh: options.Fresh = False,
    is_dry: Annotated[bool, typer.Option("--dry-run", help="Say what would run, and stop.")] = False,
    is_agreed: options.Yes = False,
    is_json: options.Json = False,
) -> None:
    """Train, pack and score one seed of a spec. A run that was interrupted goes on; a finished one is only shown."""
    manner = Manner(
        runs_dir=runs_dir,
        is_detached=is_detached,
        is_fresh=is_fresh,
        is_dry=is_dry,
        is_agreed=is_agreed,
        is_json=is_json,
    )
    if parent is None:
        loaded = options.select_specs(specs, runs_dir, overlays, assignments, on)
        plans = plan_runs(loaded, lambda spec: [choose_seed(spec, seed)], manner)
    else:
        refuse_with_parent(specs, seed)
        origin = find_run(parent, runs_dir)
        child = load_child(origin, overlays or [], [*(assignments or []), *([f"launch.on={on}"] if on else [])])
        plans = plan_runs([child], lambda _: [origin.seed], manner, Parent(origin))
    show_plans(plans, is_json) if is_dry else start(plans, manner)


def refuse_with_parent(specs: list[str] | None, seed: int | None) -> None:
    """Nothing, if spec and seed are left to the parent run.

    Raises: UsageError otherwise.
    """
    if specs or seed is not None:
        raise UsageError("--from-checkpoint takes spec and seed from the run; change the spec with --set or --with")


def choose_seed(spec: Experiment, seed: int | None) -> int:
    """The seed asked for, else the spec's first."""
    return spec.seeds[0] if seed is None else seed
