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
    """What a launcher is asked to run."""

    run: RunDirectory
    """Created, with spec.json and run.json in it."""
    gpu: str | None
    """Kind and number such as "H100:8"; None is the CPU."""
    processes: int
    """Processes that are to share the run; with a GPU, one a device."""
    options: dict[str, Any]
    """Validated by the launcher's Options."""
    is_detached: bool
    """Whether the job outlives the process that submitted it."""
    libraries: tuple[str, ...] = ()
    """What the recipe's code imports besides the standard library."""
    data_bytes: int = 0
    """Size of the shards."""
    disk_bytes: int = 0
    """What the run directory grows to."""
    planned_seconds: float | None = None
    """Training and scoring as preflight expects them."""
    limit_seconds: float | None = None
    """What the spending cap buys; the place itself ends the job then. None sets no limit."""


@dataclass(frozen=True, slots=True)
class JobStatus:
    """Where a job stands."""

    state: Literal["queued", "running", "unreachable", "ended"]
    """Of an unreachable job nobody knows whether it goes on; it is not started again."""
    exit_code: int | None = None
    """Of an ended job, where the launcher knows it."""
    message: str = ""
    """Why it ended, or why it cannot be asked, in one line; for people."""
    reason: Literal["stop_rule"] | None = None
    """The same for programs: "stop_rule" if the run's own stop rule ended it."""


class Launcher(Protocol):
    """A place where jobs run. Methods that take a handle work in any process, not only in the one that submitted."""

    name: ClassVar[str]
    summary: ClassVar[str]
    """One line for `pgolf launchers`."""
    is_remote: ClassVar[bool]
    """Whether jobs run on another machine, under another Python and torch. Their handles hold `state`, "queued" or
    "running" until the job was seen to have ended.
    """
    Options: ClassVar[type[BaseModel]]
    """Drives validation, help and docs of launch.options."""

    def check(self, job: Job) -> list[Finding]:
        """What stands in the way of this job, found without starting it."""
        ...

    def examine(self, gpu: str | None, options: dict[str, Any]) -> list[Finding]:
        """What a run would find there: versions, devices, kernels, disk, credentials. It may take minutes and cents.

        Raises: LauncherError when nothing can be asked there.
        """
        ...

    def capacity(self, job: Job) -> int:
        """How many jobs like this one may run at the same time."""
        ...

    def submit(self, job: Job) -> Handle:
        """The handle of the job, started once.

        Raises: LauncherError when it could not be.
        """
        ...

    def status(self, handle: Handle) -> JobStatus: ...

    def logs(self, handle: Handle, follow: bool) -> Iterator[str]:
        """Lines of the log; with `follow` until the job has ended."""
        ...

    def fetch(self, handle: Handle, run: RunDirectory) -> None:
        """Nothing; what the job wrote is in the run directory."""
        ...

    def cancel(self, handle: Handle) -> None:
        """Nothing; the job has been asked to stop and to leave a checkpoint."""
        ...


@runtime_checkable
class GroupLauncher(Protocol):
    """A launcher that would rather hear of several jobs at once, as a scheduler with job arrays does."""

    def submit_all(self, jobs: Sequence[Job]) -> list[Handle]:
        """The handles of jobs that differ in their run directories alone, in their order.

        Raises: LauncherError when they could not be started.
        """
        ...
