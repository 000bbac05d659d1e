"""Launchers: places where a job can run, and how pgolf talks to them.

A launcher comes through the entry-point group `pgolf.launchers`, the built-in ones too. A job is a run directory
going in and a run directory coming out; a handle is plain JSON, written beside the run, by which another process
finds the job again.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from pydantic import BaseModel, ValidationError

from pgolf.errors import LauncherError
from pgolf.findings import Finding
from pgolf.rundir import RunDirectory, read_or_empty
from trainer.recipe.files import write_json

GROUP = "pgolf.launchers"
Handle = dict[str, Any]
# Under which names libraries are installed that are imported under another.
DISTRIBUTIONS = {
    "yaml": "pyyaml",
    "sklearn": "scikit-learn",
    "PIL": "pillow",
    "dotenv": "python-dotenv",
    "flash_attn_interface": "flash-attn-3",
    "flash_attn": "flash-attn",
    "huggingface_hub": "huggingface-hub",
}


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
    """Why it ended, or why it cannot be asked, in one line."""


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


def distribution_of(library: str) -> str:
    """The name under which a package that is imported is installed."""
    return DISTRIBUTIONS.get(library, library)


def is_device(asked: str, name: str) -> bool:
    """Whether a device's name is that of the kind asked for: "A100-80GB:2" and "NVIDIA A100-SXM4-80GB", not "A10"."""
    wanted = asked.partition(":")[0].rstrip("!+").upper().replace("-", " ").split()
    words = re.findall(r"[A-Z0-9]+", name.upper())
    return asked.partition(":")[0].endswith("+") or all(word in words for word in wanted)


def launcher_entries() -> dict[str, EntryPoint]:
    """Installed launchers by name, none of them imported yet."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def load_launcher(name: str) -> Launcher:
    """The launcher of a name.

    Raises: LauncherError when it is not installed or cannot be imported.
    """
    entries = launcher_entries()
    if name not in entries:
        raise LauncherError(f"launcher {name!r} is not installed; there is {', '.join(sorted(entries))}")
    try:
        launcher: Launcher = entries[name].load()()
    except Exception as error:  # a stranger's plugin may fail in any way; it is named and nothing else breaks
        raise LauncherError(f"launcher {name!r} ({entries[name].value}) cannot be loaded: {error!r}") from error
    return launcher


def check_options(launcher: Launcher, options: dict[str, Any]) -> None:
    """Nothing, if the launcher understands its options.

    Raises: LauncherError naming the first that it does not.
    """
    try:
        launcher.Options.model_validate(options)
    except ValidationError as error:
        found = error.errors(include_url=False)
        first = next(
            (each for each in found if each["type"] == "extra_forbidden"), found[0]
        )  # a typo explains the rest
        path = ".".join(("launch.options", *map(str, first["loc"])))
        near = get_close_matches(str(first["loc"][0]), launcher.Options.model_fields, n=1)
        is_unknown = first["type"] == "extra_forbidden"
        guess = f"; did you mean `{near[0]}`?" if near and is_unknown else ""
        complaint = "is no option" if is_unknown else first["msg"]
        known = ", ".join(launcher.Options.model_fields) or "none"
        raise LauncherError(f"{path}: {complaint}{guess}; {launcher.name} has the options: {known}") from None


def read_handle(run: RunDirectory) -> Handle:
    """The handle of a run, empty where it was never launched. Where the run lies is no part of what was written: runs
    folders are moved and copied.
    """
    handle = read_or_empty(run.handle)
    if not isinstance(handle.get("launcher"), str):
        return {}
    return handle | {"run_dir": str(run.root.resolve())}


def write_handle(run: RunDirectory, handle: Handle) -> None:
    write_json(run.handle, handle)
