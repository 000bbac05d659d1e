"""`pgolf fetch`: bring the files of a remote run here."""

from pgolf.cli import options
from pgolf.cli.display.console import say
from pgolf.errors import Unreachable


def fetch(run: options.RunArgument, runs_dir: options.RunsDir = options.DEFAULT_RUNS_DIR) -> None:
    """Bring what a run has written on another machine into its directory here."""
    from pgolf.campaign.launched import find_launched

    found = find_launched(run, runs_dir)
    status = found.status()
    if status.state == "unreachable":
        raise Unreachable(f"{found.run.run_id}: {status.message}; nothing was fetched, try again later")
    found.fetch()
    later = "" if status.state == "ended" else "; it is still going, fetch again later"
    say(f"{found.run.run_id} is {found.run.state}{later}")
