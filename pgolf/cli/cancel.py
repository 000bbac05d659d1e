"""`pgolf cancel`: stop a run."""

from pgolf.cli import options
from pgolf.cli.display.console import say


def cancel(run: options.RunArgument, runs_dir: options.RunsDir = options.DEFAULT_RUNS_DIR) -> None:
    """Ask a run to stop. It writes a checkpoint, and `pgolf run` resumes it.

    A run whose machine does not answer is given up: `pgolf run` starts it again, there or elsewhere.
    """
    from pgolf.campaign.launched import find_launched, stop_or_give_up

    say(stop_or_give_up(find_launched(run, runs_dir)))
