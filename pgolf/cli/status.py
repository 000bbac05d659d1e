"""`pgolf status`: the state of every run, on this machine and elsewhere."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.live import Live

from pgolf.campaign.status import run_status, statuses, update_runs
from pgolf.cli import options
from pgolf.cli.display.console import answer_console, in_time, print_json
from pgolf.cli.display.progress import MessageObserver
from pgolf.cli.display.table import Column, FittedTable
from pgolf.errors import UsageError
from pgolf.rundir import RunDirectory, find_runs

REFRESH_SECONDS = 1.0


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
        print_json({"runs": statuses(update_runs(runs_dir, is_offline, MessageObserver()))})
    elif not is_watched:
        answer_console().print(status_table(update_runs(runs_dir, is_offline, MessageObserver())))
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
        yield update_runs(runs_dir, is_offline, MessageObserver())
        time.sleep(REFRESH_SECONDS)


COLUMNS = (
    Column("run", "name"),
    Column("state"),
    Column("phase", priority=3),
    Column("step", "number", priority=1),
    Column("train loss", "number", priority=4),
    Column("train bpb", "number", priority=6),
    Column("trained", "number", priority=5),
    Column("eta", "number", priority=2),
    Column("val_bpb", "number"),
    Column("on", priority=7),
)


def status_table(runs: list[RunDirectory]) -> FittedTable:
    """Return a table with one line per run, and one more for an error."""
    table = FittedTable(*COLUMNS)
    for run in runs:
        facts = run_status(run)
        table.add_row(
            facts["run_id"],
            facts["state"],
            " ".join(word for word in (facts["phase"], facts["stage"]) if word and word != facts["state"]),
            describe_progress(facts),
            format_number(facts["train_loss"], ".4f"),
            format_number(facts["train_bpb"], ".4f"),
            "" if facts["elapsed_seconds"] is None else in_time(facts["elapsed_seconds"]),
            "" if facts["eta_seconds"] is None else in_time(facts["eta_seconds"]),
            format_number(facts["val_bpb"], ".6f"),
            facts["launcher"] or "",
        )
        if facts["error"]:
            table.add_note(facts["error"], style="red")
    return table


def describe_progress(facts: dict[str, Any]) -> str:
    """Return the progress of the current phase: steps, or scored tokens."""
    done = facts["scored"] if facts["phase"] == "evaluate" else facts["step"]
    return "" if done is None else f"{done}/{facts['total'] or '?'}"


def format_number(number: float | None, form: str) -> str:
    """Return a number in a format; an empty text for None."""
    return "" if number is None else f"{number:{form}}"
