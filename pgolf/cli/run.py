"""`pgolf run`: one seed of each spec, or of each point of its sweep."""

from typing import Annotated

import typer

from pgolf.cli import options
from pgolf.cli.completion import complete_run
from pgolf.errors import UsageError


def run(
    specs: options.SpecArguments = None,
    assignments: options.Assignments = None,
    overlays: options.Overlays = None,
    on: options.On = None,
    parent: Annotated[
        str | None,
        typer.Option(
            "--from-checkpoint",
            metavar="RUN",
            help="Do not train: quantize, pack and score the trained weights of this run again, for example "
            "--from-checkpoint RUN --set recipe.quantizer.bits.default=5.",
            autocompletion=complete_run,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed", metavar="N", min=0, max=2**31 - 1, help="Seed to run. Default: the first one of the spec."
        ),
    ] = None,
    runs_dir: options.RunsDir = options.DEFAULT_RUNS_DIR,
    is_detached: options.Detach = False,
    is_fresh: options.Fresh = False,
    is_dry: options.DryRun = False,
    is_agreed: options.Yes = False,
    is_json: options.Json = False,
) -> None:
    """Train, pack and score one seed of a spec. An interrupted run is resumed; a finished one is only shown."""
    from pgolf.campaign.from_checkpoint import Parent, load_child
    from pgolf.campaign.planning import RunOptions, plan_runs
    from pgolf.cli.display.plans import show_plans
    from pgolf.cli.display.progress import MessageObserver
    from pgolf.cli.running import carry_out_plans
    from pgolf.rundir import find_run

    parent_run = None
    if parent is None:
        loaded = options.select_specs(specs, runs_dir, overlays, assignments, on)
    else:
        refuse_with_parent(specs, seed)
        parent_run = find_run(parent, runs_dir)
        loaded = [load_child(parent_run, overlays or [], options.with_launcher(assignments, on))]
        seed = parent_run.seed
    run_options = RunOptions(
        runs_dir=runs_dir,
        is_detached=is_detached,
        is_fresh=is_fresh,
        parent=None if parent_run is None else Parent(parent_run),
    )
    plans = plan_runs(loaded, lambda spec: [spec.seeds[0] if seed is None else seed], run_options, MessageObserver())
    if is_dry:
        show_plans(plans, is_json)
    else:
        carry_out_plans(plans, is_detached=is_detached, is_agreed=is_agreed, is_json=is_json)


def refuse_with_parent(specs: list[str] | None, seed: int | None) -> None:
    """Refuse a spec or a seed together with --from-checkpoint.

    Raises:
        UsageError: one of them is given.
    """
    if specs or seed is not None:
        raise UsageError("--from-checkpoint takes spec and seed from the run; change the spec with --set or --with")
