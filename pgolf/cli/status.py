"""`pgolf status`, `logs`, `cancel`: what files say about runs, and the one thing to tell them."""

import time
from typing import Annotated, Any

import typer
from rich.live import Live
from rich.table import Table

from pgolf.cli import options
from pgolf.cli.console import answer_console, print_json, say
from pgolf.errors import LauncherError
from pgolf.launching import Handle, load_launcher
from pgolf.rundir import RunDirectory, find_run, find_runs, follow_file, read_or_empty

REFRESH_SECONDS = 1.0


def status(
    runs_dir: options.RunsDir = options.DEFAULT_RUNS_DIR,
    is_watched: Annotated[bool, typer.Option("--watch", help="Refresh until Ctrl-C.")] = False,
    is_json: options.Json = False,
) -> None:
    """Show every run here: where it stands, its step, its loss or score."""
    if is_json:
        print_json({"runs": [status_json(run) for run in find_runs(runs_dir)]})
        return
    console = answer_console()
    if not is_watched:
        console.print(status_table(find_runs(runs_dir)))
        return
    with Live(status_table(find_runs(runs_dir)), console=console, auto_refresh=False) as live:
        while True:
            time.sleep(REFRESH_SECONDS)
            live.update(status_table(find_runs(runs_dir)), refresh=True)


def status_json(run: RunDirectory) -> dict[str, Any]:
    """A run as its files describe it at this moment."""
    said = run.read_state()
    facts: dict[str, Any] = {"run_id": run.run_id, "run_dir": str(run.root), "state": run.state}
    facts |= {key: said.get(key) for key in ("phase", "step", "total", "train_loss", "error")}
    facts["eta_seconds"] = remaining_seconds(said) if facts["state"] == "running" else None
    facts["val_bpb"] = read_or_empty(run.files.result).get("headline", {}).get("val_bpb")
    return facts


def remaining_seconds(said: dict[str, Any]) -> float | None:
    """Seconds of training left at the present speed."""
    if said.get("phase") != "train" or not said.get("total"):
        return None
    return float((said["total"] - said["step"]) * said["step_seconds"])


def status_table(runs: list[RunDirectory]) -> Table:
    """One line a run."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("run", "state", "phase", "step", "train loss", "eta", "val_bpb", "error"):
        table.add_column(column)
    for run in runs:
        facts = status_json(run)
        step = "" if facts["step"] is None else f"{facts['step']}/{facts['total'] or '?'}"
        loss = "" if facts["train_loss"] is None else f"{facts['train_loss']:.4f}"
        eta = "" if facts["eta_seconds"] is None else f"{facts['eta_seconds']:.0f} s"
        score = "" if facts["val_bpb"] is None else f"{facts['val_bpb']:.6f}"
        table.add_row(
            facts["run_id"], facts["state"], facts["phase"] or "", step, loss, eta, score, facts["error"] or ""
        )
    return table


def logs(
    run: options.RunArgument,
    runs_dir: options.RunsDir = options.DEFAULT_RUNS_DIR,
    is_followed: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run has ended.")] = False,
) -> None:
    """Print the log of a run."""
    found = find_run(run, runs_dir)
    handle = read_or_empty(found.handle)
    if handle:
        lines = load_launcher(handle["launcher"]).logs(handle, is_followed)
    else:
        lines = follow_file(found.files.log, iter([False]))
    for line in lines:
        typer.echo(line)


def cancel(run: options.RunArgument, runs_dir: options.RunsDir = options.DEFAULT_RUNS_DIR) -> None:
    """Ask a run to stop. It leaves a checkpoint; `pgolf run` goes on from there."""
    found = find_run(run, runs_dir)
    handle = live_handle(found)
    load_launcher(handle["launcher"]).cancel(handle)
    say(f"{found.run_id} has been asked to stop")


def live_handle(run: RunDirectory) -> Handle:
    """The handle of a job that is not over.

    Raises: LauncherError when there is none.
    """
    handle = read_or_empty(run.handle)
    if not handle or load_launcher(handle["launcher"]).status(handle).state == "ended":
        raise LauncherError(f"{run.run_id} is {run.state}; there is nothing to stop")
    return handle
