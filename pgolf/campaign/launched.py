"""A run that was launched, and its launcher: what `attach`, `cancel` and `fetch` act on."""

from dataclasses import dataclass
from pathlib import Path

from pgolf.errors import LauncherError
from pgolf.launching import Handle, JobStatus, Launcher, load_launcher, read_handle
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
