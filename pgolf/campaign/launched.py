"""A run that was launched, and its launcher: what `attach`, `cancel` and `fetch` act on."""

import time
from dataclasses import dataclass
from pathlib import Path

from pgolf.campaign.execution import POLL_SECONDS
from pgolf.campaign.observer import Observer
from pgolf.errors import LauncherError, RunFailed, Unreachable
from pgolf.launching import Handle, JobStatus, Launcher, load_launcher, read_handle
from pgolf.launching.handles import ask_to_stop, give_up, is_given_up
from pgolf.launching.polling import Silence, patience_of
from pgolf.rundir import RunDirectory, find_run


@dataclass(frozen=True, slots=True)
class LaunchedRun:
    """A run with the handle by which its launcher finds the job."""

    run: RunDirectory
    handle: Handle
    launcher: Launcher

    def status(self) -> JobStatus:
        """Return where the job stands."""
        return self.launcher.status(self.handle)

    def fetch(self) -> None:
        """Bring what the job has written into the run directory."""
        self.launcher.fetch(self.handle, self.run)

    def cancel(self) -> None:
        """Ask the job to stop. Commands that watch it then do not start the run again."""
        ask_to_stop(self.launcher, self.handle, "cancel")


def stop_or_give_up(launched: LaunchedRun) -> str:
    """Ask a run to stop, or leave it to itself if its machine does not answer; return what was done, for people.

    Raises:
        LauncherError: it has ended, or was given up before.
    """
    run, status = launched.run, launched.status()
    if status.state == "ended":
        raise LauncherError(f"{run.run_id} is {run.state}; there is nothing to stop")
    if status.state != "unreachable":
        try:
            launched.cancel()
            return f"{run.run_id} has been asked to stop"
        except Unreachable as error:
            status = JobStatus("unreachable", message=str(error))
    if is_given_up(launched.handle):
        raise LauncherError(f"{run.run_id} was given up before: {status.message}")
    give_up(read_handle(run))
    return (
        f"{run.run_id} is given up: {status.message}. It was not told to stop: end the machine if it costs money. "
        "The same command starts the run again, there or with other launch.options elsewhere"
    )


def find_launched(reference: str, runs_dir: Path) -> LaunchedRun:
    """Return the run that a reference names, with its launcher.

    Raises:
        UsageError: no run, or more than one, goes by this name.
        LauncherError: it was never launched.
    """
    run = find_run(reference, runs_dir)
    handle = read_handle(run)
    if not handle:
        raise LauncherError(f"{run.run_id} was never launched; `pgolf run` starts it")
    return LaunchedRun(run, handle, load_launcher(handle["launcher"]))


def watch_to_end(launched: LaunchedRun, observer: Observer) -> None:
    """Watch a run until it ends, and fetch its files.

    Raises:
        RunFailed: it ended without a result.
        Unreachable: its machine does not answer.
    """
    run, reported, silence = launched.run, "", Silence(launched.run.run_id, patience_of(launched.handle))
    observer.run_started(run)
    while (status := launched.status()).state != "ended":
        if complaint := silence.complaint(status):
            raise Unreachable(f"{run.run_id}: {complaint}")
        if status.state == "unreachable" and status.message != reported:
            reported = status.message
            observer.say(f"{run.run_id}: {silence.announcement(status)}")
        observer.runs_polled()
        time.sleep(POLL_SECONDS)
    launched.fetch()
    observer.run_ended(run)
    if not run.is_finished:
        raise RunFailed(f"{run.run_id}: {status.message or 'it ended without a result'}; see {run.files.log}")
