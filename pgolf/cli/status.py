"""`pgolf status`: the state of every run, on this machine and elsewhere."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from pgolf.cli import options
from pgolf.cli.display.console import answer_console, in_time, print_json, say
from pgolf.errors import LauncherError, UsageError
from pgolf.launching import Launcher, load_launcher, read_handle
from pgolf.rundir import RunDirectory, find_runs, read_or_empty

REFRESH_SECONDS = 1.0
PARALLEL_QUERIES = 16
STATE_KEYS = (
    "phase", "stage", "step", "scored", "total", "progress", "train_loss", "train_bpb", "elapsed_seconds", "error",
)  # fmt: skip


def status(
    runs_dir: options.RunsDir = options.DEFAULT_RUNS_DIR,
    is_watched: Annotated[bool, typer.Option("--watch", help="Refresh every second until Ctrl-C.")] = False,
    is_offline: Annotated[
        bool, typer.Option("--offline", help="Do not query other machines; show what is known here.")
    ] = False,
    is_json: options.Json = False,
) -> None:
    """Show every run with its state, step, loss, remaining time and score."""
    if is_json and is_watched:
        raise UsageError("--watch and --json cannot be combined")
    if is_json:
        print_json({"runs": [status_json(run) for run in update_runs(runs_dir, is_offline)]})
    elif not is_watched:
        answer_console().print(status_table(update_runs(runs_dir, is_offline)))
    elif (console := answer_console()).is_terminal:
        with Live(status_table(find_runs(runs_dir)), console=console, auto_refresh=False) as live:
            for runs in poll_runs(runs_dir, is_offline):
                live.update(status_table(runs), refresh=True)
    else:
        for runs in poll_runs(runs_dir, is_offline):
            console.print(status_table(runs))


def poll_runs(runs_dir: Path, is_offline: bool) -> Iterator[list[RunDirectory]]:
    """Yield the runs every REFRESH_SECONDS, without end."""
    while True:
        yield update_runs(runs_dir, is_offline)
        time.sleep(REFRESH_SECONDS)


def update_runs(runs_dir: Path, is_offline: bool) -> list[RunDirectory]:
    """Return the runs, after updating those on other machines in parallel unless `is_offline`."""
    runs = find_runs(runs_dir)
    elsewhere = [] if is_offline else [run for run in runs if run.remote_state]
    if elsewhere:
        with ThreadPoolExecutor(PARALLEL_QUERIES) as pool:
            for problem in pool.map(query_run, elsewhere):
                if problem:
                    say(problem)
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


def status_json(run: RunDirectory) -> dict[str, Any]:
    """Return the status of a run by its files; damaged files give the state `damaged`."""
    nothing = dict.fromkeys((*STATE_KEYS, "eta_seconds", "val_bpb", "launcher"))
    facts: dict[str, Any] = {"run_id": run.run_id, "run_dir": str(run.root), **nothing}
    try:
        return facts | read_status(run)
    except (KeyError, TypeError, ValueError, AttributeError, OSError) as error:
        return facts | {"state": "damaged", "error": f"its files cannot be read: {error!r}"}


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


def status_table(runs: list[RunDirectory]) -> Table:
    """Return a table with one line per run."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in (
        "run",
        "on",
        "state",
        "phase",
        "step",
        "train loss",
        "train bpb",
        "trained",
        "eta",
        "val_bpb",
        "error",
    ):
        table.add_column(column)
    for run in runs:
        facts = status_json(run)
        numbers = (
            format_number(facts["train_loss"], ".4f"),
            format_number(facts["train_bpb"], ".4f"),
            "" if facts["elapsed_seconds"] is None else in_time(facts["elapsed_seconds"]),
            "" if facts["eta_seconds"] is None else in_time(facts["eta_seconds"]),
            format_number(facts["val_bpb"], ".6f"),
        )
        phase = " ".join(word for word in (facts["phase"], facts["stage"]) if word)
        cells = (
            facts["run_id"],
            facts["launcher"] or "",
            facts["state"],
            phase,
            describe_progress(facts),
            *numbers,
            facts["error"] or "",
        )
        table.add_row(*map(escape, cells))
    return table


def describe_progress(facts: dict[str, Any]) -> str:
    """Return the progress of the current phase: steps, or scored tokens."""
    done = facts["scored"] if facts["phase"] == "evaluate" else facts["step"]
    return "" if done is None else f"{done}/{facts['total'] or '?'}"


def format_number(number: float | None, form: str) -> str:
    """Return a number in a format; an empty text for None."""
    return "" if number is None else f"{number:{form}}"
