"""Runs that a command asks for at another place than the one they were started at: another machine, port or folder."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pgolf.campaign.dispatch import Dispatch
from pgolf.campaign.observer import Observer
from pgolf.errors import LauncherError, UsageError
from pgolf.launching import Handle, JobStatus, Launcher, MovingLauncher, Standing, load_launcher, read_handle
from pgolf.rundir import RunDirectory


def find_moves(dispatch: Dispatch, seeds: Sequence[int], observer: Observer) -> frozenset[str]:
    """Return the ids of the runs that have to move, after saying what they leave and from which step they go on.

    Raises:
        UsageError: a run is going on at its old place, which answers.
    """
    moving = set()
    for run in map(dispatch.directory, seeds):
        handle = read_handle(run)
        if run.is_finished or not handle or not is_elsewhere(dispatch, handle):
            continue
        if message := describe_move(dispatch, run, handle):
            observer.say(f"{run.run_id} {message}")
            moving.add(run.run_id)
    return frozenset(moving)


def is_elsewhere(dispatch: Dispatch, handle: Handle) -> bool:
    """Return whether a job was started at another place than the one that a command asks for."""
    launcher = dispatch.launcher
    if handle["launcher"] != launcher.name:
        return True
    options = dispatch.preflight.spec.launch.options
    return isinstance(launcher, MovingLauncher) and place_of(launcher, handle.get("options")) != launcher.place(options)


def place_of(launcher: Launcher, options: object) -> str:
    """Return where a launcher runs jobs with these options."""
    if not isinstance(launcher, MovingLauncher):
        return launcher.name
    try:
        return launcher.place(options if isinstance(options, dict) else {})
    except ValueError:  # those of a damaged handle.json
        return "an unknown place"


def describe_move(dispatch: Dispatch, run: RunDirectory, handle: Handle) -> str:
    """Return what a run leaves and from which step it goes on; an empty text if it has finished at its old place.

    Raises:
        UsageError: it is going on there.
    """
    launcher, options = dispatch.launcher, dispatch.preflight.spec.launch.options
    old = launcher if handle["launcher"] == launcher.name else load_launcher(handle["launcher"])
    status = last_status(old, run, handle)
    if status.state == "ended" and status.exit_code == 0:
        return ""  # its files only have to be fetched from there
    standing = standing_at(launcher, run, options)
    before, now = place_of(old, handle.get("options")), place_of(launcher, options)
    if status.state in ("running", "queued"):
        if not (standing.is_running or standing.is_finished):
            raise UsageError(
                f"{run.run_id} is {status.state} on {before}, which answers, so it was not started on {now}. "
                f"`pgolf cancel {run.run_id}` stops it there with a checkpoint, and then the same command moves it; "
                f"`pgolf attach {run.run_id}` watches it there"
            )
        return f"is running; {before} and {now} are the same machine"
    left = f"leaves {before}, where it has stopped"
    if status.state == "unreachable":
        left = f"leaves {before}: {status.message}"
    later = ""
    if status.state == "unreachable" and not standing.exists:
        later = ". If the machine comes back, the run may go on there and cost money; its result will not be taken"
    return f"{left}. It goes on at {now}, {starting_point(run, standing)}{later}"


def last_status(launcher: Launcher, run: RunDirectory, handle: Handle) -> JobStatus:
    """Return the status of a job at its old place; one that was given up or has failed is not asked for again."""
    if run.state not in ("queued", "running", "unfetched"):
        return JobStatus("ended")
    try:
        return launcher.status(handle)
    except LauncherError as error:
        return JobStatus("unreachable", message=str(error))


def standing_at(launcher: Launcher, run: RunDirectory, options: dict[str, Any]) -> Standing:
    """Return how far a run has come at the place that a command asks for; preflight says why it cannot be asked."""
    try:
        if isinstance(launcher, MovingLauncher):
            return launcher.standing(run, options)
    except LauncherError:
        pass
    return Standing(exists=False, step=None, is_running=False, is_finished=False)


def starting_point(run: RunDirectory, standing: Standing) -> str:
    """Return in words from which step a run goes on."""
    if standing.is_finished:
        return "where it is finished; its files are fetched from there"
    if standing.step is not None:
        return f"from the checkpoint of step {standing.step} there"
    step = None if standing.exists else newest_step(run.files.checkpoints)
    return (
        "from the beginning: there is no checkpoint of it"
        if step is None
        else f"from the checkpoint of step {step} here"
    )


def newest_step(checkpoints: Path) -> int | None:
    """Return the step of the newest checkpoint in a folder; None if there is none."""
    names = [re.fullmatch(r"step-([0-9]+)\.ckpt", path.name) for path in checkpoints.glob("*")]
    return max((int(name[1]) for name in names if name), default=None)
