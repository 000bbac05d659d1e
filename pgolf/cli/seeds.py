"""`pgolf seeds`: several seeds of one spec, as one row."""

from typing import Annotated

import typer

from pgolf.cli import options


def seeds(
    spec: options.SpecArgument = None,
    n: Annotated[int, typer.Option("--n", min=1, help="Number of seeds that the group should have.")] = 3,
    assignments: options.Assignments = None,
    overlays: options.Overlays = None,
    on: options.On = None,
    runs_dir: options.RunsDir = options.DEFAULT_RUNS_DIR,
    is_detached: options.Detach = False,
    is_dry: options.DryRun = False,
    is_agreed: options.Yes = False,
    is_json: options.Json = False,
) -> None:
    """Run the seeds of a spec that are missing, then show all of them with mean, spread and verdict."""
    from pgolf.campaign.planning import RunOptions, choose_seeds, plan_runs
    from pgolf.cli.display.plans import show_plans
    from pgolf.cli.display.progress import MessageObserver
    from pgolf.cli.running import carry_out_plans

    run_options = RunOptions(runs_dir=runs_dir, is_detached=is_detached)
    loaded = options.select_specs(None if spec is None else [spec], runs_dir, overlays, assignments, on)
    plans = plan_runs(loaded, lambda spec: choose_seeds(spec, n), run_options, MessageObserver())
    if is_dry:
        show_plans(plans, is_json)
    else:
        carry_out_plans(plans, is_detached=is_detached, is_agreed=is_agreed, is_json=is_json)
