"""The status of runs, read from their files after asking the launchers of those on other machines."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

from pgolf.campaign.observer import Observer
from pgolf.errors import LauncherError
from pgolf.launching import Launcher, load_launcher, read_handle
from pgolf.report.sweep_names import differing, flat_spec
from pgolf.rundir import RunDirectory, find_runs, read_or_empty

PARALLEL_QUERIES = 16
STATE_KEYS = (
    "phase", "stage", "step", "scored", "total", "progress", "train_loss", "train_bpb", "elapsed_seconds", "error",
)  # fmt: skip

IDENTITY_KEYS = ("name", "spec_sha256", "code_sha256", "data_sha256")


def update_runs(runs_dir: Path, is_offline: bool, observer: Observer) -> list[RunDirectory]:
    """Return the runs, after updating those on other machines in parallel unless `is_offline`."""
    runs = find_runs(runs_dir)
    elsewhere = [] if is_offline else [run for run in runs if run.remote_state]
    if elsewhere:
        with ThreadPoolExecutor(PARALLEL_QUERIES) as pool:
            for problem in pool.map(query_run, elsewhere):
                if problem:
                    observer.say(problem)
    return runs


def query_run(run: RunDirectory) -> str:
    """Update the directory of a run on another machine; return why that failed, or an empty text."""
    handle = read_handle(run)
    try:
        status = launcher_of(handle["launcher"]).status(handle)
    except LauncherError as error:
        return f"{run.run_id}: {error}"
    return f"{run.run_id}: {status.message}" if status.state == "unreachable" else ""


@cache
def launcher_of(name: str) -> Launcher:
    """Return the launcher of a name, always the same one, because it limits how often it queries."""
    return load_launcher(name)


def run_status(run: RunDirectory) -> dict[str, Any]:
    """Return the status of a run by its files; damaged files give the state `damaged`."""
    nothing = dict.fromkeys((*STATE_KEYS, "eta_seconds", "val_bpb", "launcher"))
    document = run.read_run()
    facts: dict[str, Any] = {
        "run_id": run.run_id,
        "run_dir": str(run.root),
        "seed": run.seed,
        **{key: document.get(key) for key in IDENTITY_KEYS},
        **nothing,
    }
    try:
        return facts | read_status(run)
    except (KeyError, TypeError, ValueError, AttributeError, OSError) as error:
        return facts | {"state": "damaged", "error": f"its files cannot be read: {error!r}"}


def statuses(runs: Sequence[RunDirectory]) -> list[dict[str, Any]]:
    """Return the status of each run, with the values in which its spec differs from others of its name."""
    found = [run_status(run) for run in runs]
    alike: dict[str, list[int]] = {}
    for number, facts in enumerate(found):
        alike.setdefault(facts["name"], []).append(number)
    for numbers in alike.values():
        points = differing([flat_spec(runs[number].files.spec) for number in numbers])
        for number, point in zip(numbers, points, strict=True):
            found[number]["swept"] = point
    return found


def read_status(run: RunDirectory) -> dict[str, Any]:
    """Return the status of a run with undamaged files."""
    reported, state = run.read_state(), run.state
    facts: dict[str, Any] = {"launcher": read_handle(run).get("launcher"), "state": state}
    facts |= {key: reported.get(key) for key in STATE_KEYS}
    for key in ("step", "scored", "total", "progress", "train_loss", "train_bpb", "elapsed_seconds"):
        if not isinstance(facts[key], int | float | None):
            raise ValueError(f"{key} is {facts[key]!r}")
    facts["eta_seconds"] = remaining_seconds(reported) if state == "running" else None
    facts["val_bpb"] = (read_or_empty(run.files.result).get("headline") or {}).get("val_bpb")
    return facts


def remaining_seconds(reported: dict[str, Any]) -> float | None:
    """Return the remaining seconds of training or scoring at the speed so far; None if not known."""
    match reported:
        case {"phase": "evaluate", "scored": scored, "total": total, "stage_seconds": seconds} if scored:
            return float(seconds * (total - scored) / scored)
        case {"phase": "train", "step": step, "total": int(total), "step_seconds": float(seconds)}:
            return float((total - step) * seconds)
        case {"phase": "train", "progress": progress, "elapsed_seconds": seconds} if progress:
            return float(seconds * (1 - progress) / progress)  # a budget in seconds has no number of steps
    return None
