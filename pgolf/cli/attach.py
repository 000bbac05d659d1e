"""`pgolf attach`: watch a run that was started elsewhere or detached."""

from pgolf.cli import options
from pgolf.cli.display.console import say


def attach(run: options.RunArgument, runs_dir: options.RunsDir = options.DEFAULT_RUNS_DIR) -> None:
    """Watch a run to its end and fetch its files. Ctrl-C stops watching, not the run."""
    from pgolf.campaign.launched import find_launched, watch_to_end
    from pgolf.cli.display.progress import watching

    launched = find_launched(run, runs_dir)
    with watching() as observer:
        watch_to_end(launched, observer)
    found = launched.run
    say(f"{found.run_id} is finished; `pgolf report {found.root.parent}` shows its group")
