"""Carry out planned runs: wait for them to end, stop them on Ctrl-C, and turn a failure into an error."""

import time
from collections.abc import Sequence

from pgolf.campaign.dispatch import Dispatch
from pgolf.campaign.observer import Observer
from pgolf.campaign.queue import Outcome, Task, carry_out
from pgolf.errors import Interrupted, PgolfError, RunFailed, error_for_exit_code

POLL_SECONDS = 0.2
STOPPING_SECONDS = 15.0


def run_to_end(tasks: Sequence[Task], observer: Observer) -> list[Outcome]:
    """Run all tasks to their end, and return how they ended, in the order of the tasks.

    Raises:
        Interrupted: on Ctrl-C, after the runs started here have written their checkpoints.
    """
    outcomes: dict[str, Outcome] = {}
    try:
        for outcome in carry_out(tasks, observer):
            observer.runs_polled()
            if outcome is None:
                time.sleep(POLL_SECONDS)
            else:
                observer.run_ended(outcome.run)
                outcomes[outcome.run.run_id] = outcome
    except KeyboardInterrupt:
        stop_runs([task.dispatch for task in tasks])
        raise Interrupted("interrupted; the same command resumes what is not finished") from None
    return [outcomes[task.run.run_id] for task in tasks]


def stop_runs(dispatches: Sequence[Dispatch]) -> None:
    """Ask the runs started here to stop, and wait a while until they have."""
    own = list({id(dispatch): dispatch for dispatch in dispatches}.values())
    for dispatch in own:
        dispatch.cancel_started()
    deadline = time.monotonic() + STOPPING_SECONDS
    while any(dispatch.unended() for dispatch in own) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)


def check_finished(outcomes: Sequence[Outcome]) -> None:
    """Check that every run has a result.

    Raises:
        PgolfError: the error of the first run that has none.
    """
    failed = [outcome for outcome in outcomes if not outcome.run.is_finished]
    if failed:
        raise failure_of(failed[0], len(failed), len(outcomes))


def failure_of(outcome: Outcome, failed: int = 1, total: int = 1) -> PgolfError:
    """Return the error of a run that ended without a result: its exit code, and the reason that it left.

    Args:
        failed: Number of runs of the command that failed.
        total: Number of runs of the command.
    """
    run, status = outcome.run, outcome.status
    code = status.exit_code if status.exit_code and status.exit_code > 0 else RunFailed.exit_code
    error = type(error_for_exit_code(code, ""))
    reason = status.message or "it ended without giving a reason"
    among = f" ({failed} of {total} runs failed)" if total > 1 else ""
    again = "starts the script again" if "script" in run.read_run() else "resumes from the last checkpoint"
    return error(f"{run.run_id}: {reason}; see {run.files.log}; the same command {again}{among}")
