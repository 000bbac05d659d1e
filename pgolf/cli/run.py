"""`pgolf run`: one seed of each spec."""

from typing import Annotated

import typer

from pgolf.cli import options
from pgolf.cli.running import Manner, answer, detach, prepare_dispatch, watch


def run(
    specs: options.SpecArguments = None,
    assignments: options.Assignments = None,
    overlays: options.Overlays = None,
    on: options.On = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Default: the spec's first.")] = None,
    runs_dir: options.RunsDir = options.DEFAULT_RUNS_DIR,
    is_detached: options.Detach = False,
    is_fresh: options.Fresh = False,
    is_dry: Annotated[bool, typer.Option("--dry-run", help="Say what would run, and stop.")] = False,
    is_agreed: options.Yes = False,
    is_json: options.Json = False,
) -> None:
    """Train, pack and score one seed of a spec. A run that was interrupted goes on; a finished one is only shown."""
    manner = Manner(
        runs_dir=runs_dir, is_detached=is_detached, is_fresh=is_fresh, is_dry=is_dry, is_agreed=is_agreed, is_json=is_json
    )  # fmt: skip
    loaded = [options.select_spec(spec, runs_dir, overlays, assignments, on) for spec in specs or [None]]
    dispatches = [(prepare_dispatch(spec, manner, runs=1), [spec.spec.seeds[0] if seed is None else seed]) for spec in loaded]
    ended, folders = [], []
    for dispatch, seeds in dispatches:
        folder = dispatch.directory(seeds[0]).root
        if is_dry:
            typer.echo(f"would run {folder} on {dispatch.preflight.spec.launch.on}", err=True)
            continue
        ended += detach(dispatch, seeds) if is_detached else watch(dispatch, seeds, is_quiet=is_json)
        folders.append(folder.parent)
    answer(ended, folders, manner)
