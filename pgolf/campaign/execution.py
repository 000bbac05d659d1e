"""Carry out planned runs: wait for them to end, stop them on Ctrl-C, and turn a failure into an error."""

import time
from collections.abc import Sequence

from pgolf.campaign.dispatch import Dispatch
from pgolf.campaign.observer import Observer
from pgolf.campaign.queue import Outcome, Task, carry_out
from pgolf.errors import Interrupted, PgolfError, RunFailed, Unreachable, UsageError, error_for_exit_code
from pgolf.launching import JobStatus, read_handle
from pgolf.launching.handles import why_ending
from pgolf.launching.polling import Silence, patience_of

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


def start_detached(tasks: Sequence[Task], observer: Observer) -> list[Outcome]:
    """Start all runs and leave them to themselves.

    Raises:
        UsageError: a launcher does not take so many at once.
        Unreachable: the machine of a run that is about to end does not answer.
    """
    waiting = [task for task in tasks if not task.dispatch.fetch_if_finished(task.run)]
    for name in dict.fromkeys(task.dispatch.launcher.name for task in waiting):
        there = [task for task in waiting if task.dispatch.launcher.name == name]
        capacity = there[0].dispatch.launcher.capacity(there[0].dispatch.job(there[0].run))
        if len(there) > capacity:
            raise UsageError(
                f"--detach would start {len(there)} runs at once; {name} takes {capacity} here. "
                "Leave out --detach, or start them one after the other"
            )
    for task in waiting:
        wait_while_ending(task, observer)
    for dispatch in {id(task.dispatch): task.dispatch for task in waiting}.values():
        dispatch.submit([task.run for task in waiting if task.dispatch is dispatch])
    ended, started = JobStatus("ended", 0), JobStatus("running")
    return [Outcome(task.run, ended if task.run.is_finished else started) for task in tasks]


def wait_while_ending(task: Task, observer: Observer) -> None:
    """Wait for a job of another command that is about to end without a result, if the run has one and does not move.

    Raises:
        Unreachable: its machine does not answer.
    """
    handle, launcher = read_handle(task.run), task.dispatch.launcher
    why = why_ending(handle)
    is_moving = task.run.run_id in task.dispatch.moving
    if why is None or is_moving or launcher.status(handle).state == "ended":
        return
    observer.say(f"{task.run.run_id}: {why}; waiting for its trainer to end before starting it again")
    silence = Silence(task.run.run_id, patience_of(handle))
    while (status := launcher.status(handle)).state != "ended":
        if complaint := silence.complaint(status):
            raise Unreachable(f"{task.run.run_id}: {complaint}")
        time.sleep(POLL_SECONDS)
    task.dispatch.update_document(task.run)


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
