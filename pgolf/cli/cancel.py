"""`pgolf cancel`: stop a run."""

from pgolf.cli import options
from pgolf.cli.display.console import say
from pgolf.errors import LauncherError


def cancel(run: options.RunArgument, runs_dir: options.RunsDir = options.DEFAULT_RUNS_DIR) -> None:
    """Ask a run to stop. It writes a checkpoint, and `pgolf run` resumes it."""
    from pgolf.campaign.launched import find_launched

    found = find_launched(run, runs_dir)
    if found.status().state == "ended":
        raise LauncherError(f"{found.run.run_id} is {found.run.state}; there is nothing to stop")
    found.cancel()
    say(f"{found.run.run_id} has been asked to stop")
