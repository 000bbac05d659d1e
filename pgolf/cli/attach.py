"""`pgolf attach`: watch a run that was started elsewhere or detached."""

import time

from pgolf.campaign.execution import POLL_SECONDS
from pgolf.cli import options
from pgolf.cli.display.console import say
from pgolf.cli.display.progress import watching
from pgolf.cli.launched import find_launched
from pgolf.errors import RunFailed


def attach(run: options.RunArgument, runs_dir: options.RunsDir = options.DEFAULT_RUNS_DIR) -> None:
    """Watch a run to its end and fetch its files. Ctrl-C stops watching, not the run."""
    found = find_launched(run, runs_dir)
    run_id = found.run.run_id
    with watching() as observer:
        observer.run_started(found.run)
        reported = ""
        while (status := found.status()).state != "ended":
            if status.state == "unreachable" and status.message != reported:
                reported = status.message
                say(f"{run_id}: {reported}; the run may still be going, asking again. Ctrl-C stops watching only")
            observer.runs_polled()
            time.sleep(POLL_SECONDS)
        found.fetch()
        observer.run_ended(found.run)
    if not found.run.is_finished:
        raise RunFailed(f"{run_id}: {status.message or 'it ended without a result'}; see {found.run.files.log}")
    say(f"{run_id} is finished; `pgolf report {found.run.root.parent}` shows its group")
