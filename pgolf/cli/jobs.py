"""`pgolf logs`, `attach`, `cancel`, `fetch`: what can be done with a job, from any process and at any time."""

from typing import Annotated

import typer

from pgolf.cli import options
from pgolf.cli.console import say
from pgolf.cli.progress import pause, run_display
from pgolf.errors import LauncherError, RunFailed
from pgolf.launching import Handle, load_launcher, read_handle
from pgolf.rundir import RunDirectory, find_run, follow_file


def logs(
    run: options.RunArgument,
    runs_dir: options.RunsDir = options.DEFAULT_RUNS_DIR,
    is_followed: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run has ended.")] = False,
) -> None:
    """Print the log of a run."""
    found = find_run(run, runs_dir)
    handle = read_handle(found)
    if handle:
        lines = load_launcher(handle["launcher"]).logs(handle, is_followed)
    else:
        lines = follow_file(found.files.log, iter([False]))
    for line in lines:
        typer.echo(line)


def attach(run: options.RunArgument, runs_dir: options.RunsDir = options.DEFAULT_RUNS_DIR) -> None:
    """Watch a run to its end and bring its files here. Ctrl-C leaves it alone."""
    found = find_run(run, runs_dir)
    handle = known_handle(found)
    launcher = load_launcher(handle["launcher"])
    with run_display(is_quiet=False) as display:
        display.start(found)
        said = ""
        while (status := launcher.status(handle)).state != "ended":
            if status.state == "unreachable" and status.message != said:
                said = status.message
                say(f"{found.run_id}: {said}; it may go on there, asking again. Ctrl-C leaves it alone")
            display.look()
            pause()
        launcher.fetch(handle, found)
        display.end(found)
    if not found.is_finished:
        raise RunFailed(f"{found.run_id}: {status.message or 'it ended without a result'}; see {found.files.log}")
    say(f"{found.run_id} is finished; `pgolf report {found.root.parent}` shows its group")


def cancel(run: options.RunArgument, runs_dir: options.RunsDir = options.DEFAULT_RUNS_DIR) -> None:
    """Ask a run to stop. It leaves a checkpoint; `pgolf run` goes on from there."""
    found = find_run(run, runs_dir)
    handle = known_handle(found)
    launcher = load_launcher(handle["launcher"])
    if launcher.status(handle).state == "ended":
        raise LauncherError(f"{found.run_id} is {found.state}; there is nothing to stop")
    launcher.cancel(handle)
    say(f"{found.run_id} has been asked to stop")


def fetch(run: options.RunArgument, runs_dir: options.RunsDir = options.DEFAULT_RUNS_DIR) -> None:
    """Bring what a run has written elsewhere into its directory here."""
    found = find_run(run, runs_dir)
    handle = known_handle(found)
    launcher = load_launcher(handle["launcher"])
    status = launcher.status(handle)
    launcher.fetch(handle, found)
    say(f"{found.run_id} is {found.state}" + ("" if status.state == "ended" else "; it goes on, fetch again later"))


def known_handle(run: RunDirectory) -> Handle:
    """The handle of a run that was launched.

    Raises: LauncherError when it was not.
    """
    handle = read_handle(run)
    if not handle:
        raise LauncherError(f"{run.run_id} was never launched; `pgolf run` starts it")
    return handle
