"""The status of runs, read from their files after asking the launchers of those on other machines."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

from pgolf.campaign.observer import Observer
from pgolf.errors import LauncherError, RunDamaged
from pgolf.launching import Launcher, load_launcher, read_handle
from pgolf.report.sweep_names import differing, flat_spec
from pgolf.rundir import RunDirectory, find_runs

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
    try:
        handle = read_handle(run)
        status = launcher_of(handle["launcher"]).status(handle)
    except (LauncherError, RunDamaged) as error:
        return f"{run.run_id}: {error}"
    return f"{run.run_id}: {status.message}" if status.state == "unreachable" else ""


@cache
def launcher_of(name: str) -> Launcher:
    """Return the launcher of a name, always the same one, because it limits how often it queries."""
    return load_launcher(name)


def run_status(run: RunDirectory) -> dict[str, Any]:
    """Return the status of a run by its files; a damaged file gives the state `damaged`."""
    nothing = dict.fromkeys((*IDENTITY_KEYS, *STATE_KEYS, "eta_seconds", "val_bpb", "launcher"))
    facts: dict[str, Any] = {"run_id": run.run_id, "run_dir": str(run.root), "seed": run.seed, **nothing}
    try:
        run.check_documents()
        document = run.read_run()
        return facts | {key: document[key] for key in IDENTITY_KEYS} | read_status(run)
    except RunDamaged as error:
        return facts | {"state": "damaged", "error": str(error)}


def statuses(runs: Sequence[RunDirectory]) -> list[dict[str, Any]]:
    """Return the status of each run, with the values in which its spec differs from others of its name."""
    found = [run_status(run) for run in runs]
    alike: dict[str | None, list[int]] = {}
    for number, facts in enumerate(found):
        alike.setdefault(facts["name"], []).append(number)
    for name, numbers in alike.items():
        specs = [{} if name is None else flat_spec(runs[number].read_spec()) for number in numbers]
        for number, point in zip(numbers, differing(specs), strict=True):
            found[number]["swept"] = point
    return found


def read_status(run: RunDirectory) -> dict[str, Any]:
    """Return the status of a run whose documents are checked."""
    reported, state = run.read_state(), run.state
    facts: dict[str, Any] = {"launcher": read_handle(run).get("launcher"), "state": state}
    facts |= {key: reported.get(key) for key in STATE_KEYS}
    facts["eta_seconds"] = remaining_seconds(reported) if state == "running" else None
    facts["val_bpb"] = run.read_result()["headline"]["val_bpb"] if state == "finished" else None
    return facts


def remaining_seconds(reported: Mapping[str, Any]) -> float | None:
    """Return the remaining seconds of training or scoring at the speed so far; None if not known."""
    match reported:
        case {"phase": "evaluate", "scored": int(scored), "total": int(total), "stage_seconds": seconds} if scored:
            return float(seconds * (total - scored) / scored)
        case {"phase": "train", "step": int(step), "total": int(total), "step_seconds": float(seconds)}:
            return (total - step) * seconds
        case {"phase": "train", "progress": float(progress), "elapsed_seconds": float(seconds)} if progress:
            return seconds * (1 - progress) / progress  # a budget in seconds has no number of steps
    return None
