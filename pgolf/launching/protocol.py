"""The launcher protocol: what a launcher is asked to run, what it answers, and the methods it has."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from pydantic import BaseModel

from pgolf.findings import Finding
from pgolf.rundir import RunDirectory

Handle = dict[str, Any]
"""Plain JSON, written to handle.json, by which another process finds the job again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A run that a launcher is asked to carry out."""

    run: RunDirectory
    """Created, with spec.json and run.json in it."""
    gpu: str | None
    """Kind and number, such as "H100:8"; None for the CPU."""
    processes: int
    """Processes that share the run; with GPUs, one per GPU."""
    options: dict[str, Any]
    """launch.options, validated by the launcher's Options."""
    is_detached: bool
    """Whether the job outlives the process that submitted it."""
    libraries: tuple[str, ...] = ()
    """What the recipe's code imports besides the standard library."""
    data_bytes: int = 0
    """Size of the shards."""
    disk_bytes: int = 0
    """Expected size of the finished run directory."""
    planned_seconds: float | None = None
    """Training and scoring as preflight predicts them."""
    limit_seconds: float | None = None
    """Seconds that the spending cap pays for, after which the launcher ends the job; None for no limit."""


@dataclass(frozen=True, slots=True)
class JobStatus:
    """The state of a job, and how it ended."""

    state: Literal["queued", "running", "unreachable", "ended"]
    """An unreachable job may still be running, so it is not started again."""
    exit_code: int | None = None
    """Of an ended job, if the launcher knows it."""
    message: str = ""
    """Why it ended or cannot be reached, in one line for people."""
    reason: Literal["stop_rule"] | None = None
    """Why it ended, for programs: "stop_rule" if the run's own stop rule ended it."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a run has come at a place."""

    exists: bool
    """Whether the place has a run directory of it."""
    step: int | None
    """Step of the newest checkpoint there; None if there is none."""
    is_running: bool
    """Whether its job is alive on this very machine."""
    is_finished: bool


class Launcher(Protocol):
    """A way to run jobs. Methods that take a handle work in any process, not only in the one that submitted the job."""

    name: ClassVar[str]
    summary: ClassVar[str]
    """One line for `pgolf launchers`."""
    is_remote: ClassVar[bool]
    """Whether jobs run on another machine, under another Python and torch. Their handles keep `state` at "queued" or
    "running" until the job was seen to have ended.
    """
    Options: ClassVar[type[BaseModel]]
    """The model of launch.options: it validates them and documents them."""

    def check(self, job: Job) -> list[Finding]:
        """Return what would prevent this job from running, without starting it."""
        ...

    def doctor(self, gpu: str | None, options: dict[str, Any]) -> list[Finding]:
        """Return what `pgolf doctor` finds where jobs run: versions, devices, kernels, disk, credentials, clock.

        This may take minutes and cost cents.

        Raises:
            LauncherError: nothing can be run there.
        """
        ...

    def capacity(self, job: Job) -> int:
        """Return how many jobs like this one may run at the same time."""
        ...

    def submit(self, job: Job) -> Handle:
        """Start a job and return its handle. A job that already runs for this run directory is not started again.

        Raises:
            LauncherError: it could not be started.
        """
        ...

    def status(self, handle: Handle) -> JobStatus: ...

    def logs(self, handle: Handle, follow: bool) -> Iterator[str]:
        """Return the lines of the log; with `follow`, new ones too until the job has ended."""
        ...

    def fetch(self, handle: Handle, run: RunDirectory) -> None:
        """Copy what the job wrote into the run directory."""
        ...

    def cancel(self, handle: Handle) -> None:
        """Ask the job to write a checkpoint and end."""
        ...


@runtime_checkable
class MovingLauncher(Protocol):
    """A launcher for machines that come and go: a run may go on at another place than the one it began at."""

    def place(self, options: dict[str, Any]) -> str:
        """Return where jobs with these launch.options run, in words that differ between places."""
        ...

    def standing(self, run: RunDirectory, options: dict[str, Any]) -> Standing:
        """Return how far a run has come at the place of these launch.options.

        Raises:
            LauncherError: the place cannot be asked.
        """
        ...


@runtime_checkable
class GroupLauncher(Protocol):
    """A launcher that takes several jobs at once, such as a scheduler with job arrays."""

    def submit_all(self, jobs: Sequence[Job]) -> list[Handle]:
        """Start jobs that differ in their run directories only, and return their handles in the same order.

        Raises:
            LauncherError: they could not be started.
        """
        ...
