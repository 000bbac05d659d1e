"""Asking how jobs stand: following their logs, and not asking another machine too often."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from pgolf.errors import Unreachable
from pgolf.launching.handles import run_of
from pgolf.launching.protocol import Handle, JobStatus
from pgolf.rundir import follow_file

POLL_SECONDS = 5.0
# How long a command waits for a machine that has not answered it once, and for one that answered before.
FIRST_ANSWER_SECONDS, PATIENCE_SECONDS = 60.0, 600.0


def follow_log(handle: Handle, status: Callable[[Handle], JobStatus], follow: bool) -> Iterator[str]:
    """Return the lines of a run's log; with `follow`, new ones too until `status` says that the job has ended.

    Raises:
        Unreachable: the job has not been reachable for a minute.
    """
    return follow_file(run_of(handle).files.log, has_growth(handle, status) if follow else iter([False]))


def has_growth(handle: Handle, status: Callable[[Handle], JobStatus]) -> Iterator[bool]:
    """Yield True while the job may still write, then False.

    Raises:
        Unreachable: the job has not been reachable for too long.
    """
    silence = Silence(run_of(handle).run_id, patience_of(handle))
    while (found := status(handle)).state != "ended":
        if complaint := silence.complaint(found):
            raise Unreachable(complaint)
        yield True
    yield False


def option_of(handle: Handle, name: str, default: float) -> float:
    """Return a number from the launch.options that a job was started with, or the default."""
    options = handle.get("options")
    found = options.get(name) if isinstance(options, dict) else None
    return float(found) if isinstance(found, int | float) else default


def patience_of(handle: Handle) -> float:
    """Return for how many seconds the machine of a job may be silent."""
    return option_of(handle, "patience_seconds", PATIENCE_SECONDS)


class Silence:
    """How long a job has not been reachable, and whether a command has waited long enough for it."""

    def __init__(self, run_id: str, patience: float) -> None:
        self.run_id, self.patience = run_id, patience
        self.answered_at = time.monotonic()
        self.allowed = min(FIRST_ANSWER_SECONDS, self.patience)

    def complaint(self, status: JobStatus) -> str:
        """Note a status; return why it is useless to wait any longer and what to do, or an empty text."""
        if status.state != "unreachable":
            self.answered_at, self.allowed = time.monotonic(), self.patience
            return ""
        seconds = time.monotonic() - self.answered_at
        if seconds < self.allowed:
            return ""
        return (
            f"{status.message}; waited {seconds:.0f} s. The run may still be going there. To move it, give the same "
            f"command other launch.options; to give it up here, `pgolf cancel {self.run_id}`"
        )

    def announcement(self, status: JobStatus) -> str:
        """Return what to say when a job becomes unreachable."""
        return (
            f"{status.message}; the run may still be going, asking again for {self.allowed:.0f} s. Ctrl-C stops asking "
            "and leaves the run alone"
        )


class RemoteOptions(BaseModel):
    """The launch.options that launchers for other machines share."""

    model_config = ConfigDict(extra="forbid")

    ledger: bool = False
    """Whether fetch copies ledger.npz too, which has more than four bytes per validation token."""
    poll_seconds: Annotated[float, Field(gt=0)] = POLL_SECONDS
    """Seconds between polls of a watched run."""
    patience_seconds: Annotated[float, Field(gt=0)] = PATIENCE_SECONDS
    """Seconds that a machine may be silent before a command that watches a run ends. The run itself is not affected."""


class PolledLauncher(ABC):
    """Base of a launcher for another machine, which is not asked more often than every `poll_seconds`."""

    def __init__(self) -> None:
        self.seen: dict[str, tuple[float, JobStatus]] = {}
        """By run directory: when a job was last polled, and its status then."""

    @abstractmethod
    def poll(self, handle: Handle) -> JobStatus:
        """Return a job's status there and now, with log, metrics and state.json here brought up to date."""

    def status(self, handle: Handle) -> JobStatus:
        """Return the status of the last poll, or of a new one if that was a while ago and the job had not ended."""
        polled_at, status = self.seen.get(handle["run_dir"], (float("-inf"), JobStatus("queued")))
        pause = option_of(handle, "poll_seconds", POLL_SECONDS)
        if status.state != "ended" and time.monotonic() - polled_at >= pause:
            status = self.poll(handle)
            self.seen[handle["run_dir"]] = time.monotonic(), status
        return status

    def poll_again(self, handle: Handle) -> None:
        """Poll this job at the next `status`: it has just been started, or told to stop."""
        self.seen.pop(handle["run_dir"], None)

    def logs(self, handle: Handle, follow: bool) -> Iterator[str]:
        """Return the lines of a run's log, as `follow_log` does."""
        self.status(handle)
        return follow_log(handle, self.status, follow)
