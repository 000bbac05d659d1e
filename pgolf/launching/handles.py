"""handle.json: what another process needs to find a job again, and who may end it."""

import os
from pathlib import Path
from typing import Any, Literal

from pgolf.errors import LauncherError
from pgolf.launching.protocol import Handle, JobStatus, Launcher
from pgolf.rundir import RunDirectory
from trainer.recipe.processes import is_process_alive, pid_namespace, process_start
from trainer.recipe.writing import write_json

StopCause = Literal["cancel", "interrupt"]
"""Who asked a job to stop: `pgolf cancel`, or Ctrl-C in the command that started it."""
GIVEN_UP = "given_up"
LOCAL_PROCESS_KEYS = ("pid", "started", "pid_namespace", "owner")


def create_handle(launcher: str, run: RunDirectory, **facts: Any) -> Handle:
    """Write and return a run's first handle.

    Call this before the job starts: a run whose job number was lost is then known to have been launched, and where.
    """
    handle: Handle = {"launcher": launcher, "run_dir": str(run.root.resolve()), **facts}
    write_handle(run, handle)
    return handle


def update_handle(handle: Handle, **facts: Any) -> Handle:
    """Add facts, such as the job's number, to a handle and to handle.json; return the same handle."""
    handle |= facts
    write_handle(run_of(handle), handle)
    return handle


def record_stop_request(handle: Handle) -> bool:
    """Record in handle.json that the job has been asked to stop; return whether it had been asked before."""
    was_asked = bool(handle.get("was_asked_to_stop"))
    update_handle(handle, was_asked_to_stop=True)
    return was_asked


def ask_to_stop(launcher: Launcher, handle: Handle, cause: StopCause) -> None:
    """Have a launcher stop a job, and record in handle.json who asked for it.

    Raises:
        LauncherError: the launcher could not pass the request on.
    """
    update_handle(handle, stopped_by=cause)  # before the job ends, so that commands that watch it know why
    try:
        launcher.cancel(handle)
    except LauncherError:
        del handle["stopped_by"]
        write_handle(run_of(handle), handle)
        raise


def local_process(pid: int) -> dict[str, Any]:
    """Return what a handle says about a process of this machine, by which `is_alive_here` finds it again."""
    return {"pid": pid, "started": process_start(pid), "pid_namespace": pid_namespace()}


def owner_here() -> dict[str, Any]:
    """Return this process as the owner of a job: the process with which the job ends.

    Empty if /proc is that of another PID namespace, where nobody could tell whether this process is alive.
    """
    owner = local_process(os.getpid())
    return {"owner": owner} if is_alive_here(owner) else {}


def is_alive_here(process: dict[str, Any]) -> bool:
    """Return whether a process is alive. One of another machine or container is not; pids there mean nothing here."""
    pid, space = process.get("pid"), process.get("pid_namespace")
    # Handles of earlier versions have no pid_namespace.
    return isinstance(pid, int) and space in (None, pid_namespace()) and is_process_alive(pid, process.get("started"))


def why_ending(handle: Handle) -> str | None:
    """Return why a job that still runs is about to end without a result; None if it is not, as far as known."""
    if "stopped_by" in handle:
        return "it has been asked to stop"
    owner = handle.get("owner")
    if not isinstance(owner, dict) or owner.get("pid_namespace") != pid_namespace():
        return None
    # A handle whose own process is dead may be that of a second command, whose trainer gave way to the first one's.
    if not is_alive_here(handle) or is_alive_here(owner):
        return None
    return f"the command that started it (process {owner.get('pid')}) is gone"


def give_up(handle: Handle) -> None:
    """Record in handle.json that a job which cannot be reached is left to itself: the run may be started again."""
    update_handle(handle, state=GIVEN_UP)


def is_given_up(handle: Handle) -> bool:
    """Return whether a job was left to itself."""
    return bool(handle.get("state") == GIVEN_UP)


def record_state(run: RunDirectory, status: JobStatus) -> JobStatus:
    """Write the state a job was last seen in to handle.json, if it is known and has changed; return the status."""
    handle = read_handle(run)
    if handle and status.state not in ("unreachable", handle.get("state")):
        write_handle(run, handle | {"state": status.state})
    return status


def read_handle(run: RunDirectory) -> Handle:
    """Return the handle of a run, empty if it was never launched.

    `run_dir` is where the run lies now: runs folders are moved and copied. The processes that the handle names are left
    out of that of a copy: they work in the original.

    Raises:
        RunDamaged: handle.json is damaged, so that nobody knows whether a job of the run lives.
    """
    handle = run.read_handle()
    if is_copy(handle, run):
        handle = {key: value for key, value in handle.items() if key not in LOCAL_PROCESS_KEYS}
    return handle and handle | {"run_dir": str(run.root.resolve())}


def is_copy(handle: Handle, run: RunDirectory) -> bool:
    """Return whether the run directory that a handle was written for is another one, and still there."""
    written_for = Path(handle.get("run_dir") or run.root)
    return written_for.is_dir() and not written_for.samefile(run.root)


def write_handle(run: RunDirectory, handle: Handle) -> None:
    """Replace handle.json."""
    write_json(run.handle, handle)


def run_of(handle: Handle) -> RunDirectory:
    """Return the run directory of a handle."""
    return RunDirectory(Path(handle["run_dir"]))
