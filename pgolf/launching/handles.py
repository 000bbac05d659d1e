"""handle.json: what another process needs to find a job again."""

from pathlib import Path
from typing import Any

from pgolf.launching.protocol import Handle, JobStatus
from pgolf.rundir import RunDirectory, read_or_empty
from trainer.recipe.writing import write_json


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


def record_state(run: RunDirectory, status: JobStatus) -> JobStatus:
    """Write the state a job was last seen in to handle.json, if it is known and has changed; return the status."""
    handle = read_handle(run)
    if handle and status.state not in ("unreachable", handle.get("state")):
        write_handle(run, handle | {"state": status.state})
    return status


def read_handle(run: RunDirectory) -> Handle:
    """Return the handle of a run, empty if it was never launched.

    `run_dir` is where the run lies now: runs folders are moved and copied.
    """
    handle = read_or_empty(run.handle)
    if not isinstance(handle.get("launcher"), str):
        return {}
    return handle | {"run_dir": str(run.root.resolve())}


def write_handle(run: RunDirectory, handle: Handle) -> None:
    """Replace handle.json."""
    write_json(run.handle, handle)


def run_of(handle: Handle) -> RunDirectory:
    """Return the run directory of a handle."""
    return RunDirectory(Path(handle["run_dir"]))
