"""handle.json: what finds a job again."""

from pgolf.launching.protocol import Handle
from pgolf.rundir import RunDirectory, read_or_empty
from trainer.recipe.files import write_json


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
