"""`pgolf logs`: the log of a run."""

from typing import Annotated

import typer

from pgolf.cli import options
from pgolf.rundir import find_run, follow_file


def logs(
    run: options.RunArgument,
    runs_dir: options.RunsDir = options.DEFAULT_RUNS_DIR,
    is_followed: Annotated[
        bool, typer.Option("--follow", "-f", help="Keep printing new lines until the run ends.")
    ] = False,
) -> None:
    """Print the log of a run."""
    from pgolf.launching import load_launcher, read_handle

    found = find_run(run, runs_dir)
    handle = read_handle(found)
    if handle:
        lines = load_launcher(handle["launcher"]).logs(handle, is_followed)
    else:
        lines = follow_file(found.files.log, iter([False]))
    for line in lines:
        typer.echo(line)
