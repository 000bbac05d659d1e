"""`pgolf status`: where every run stands, here and elsewhere."""

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
ASKED_AT_ONCE = 16
SAID = (
    "phase", "stage", "step", "scored", "total", "progress", "train_loss", "train_bpb", "elapsed_seconds", "error",
)  # fmt: skip


def status(
    runs_dir: options.RunsDir = options.DEFAULT_RUNS_DIR,
    is_watched: Annotated[bool, typer.Option("--watch", help="Refresh until Ctrl-C.")] = False,
    is_offline: Annotated[bool, typer.Option("--offline", help="Ask no other machine how its runs go.")] = False,
    is_json: options.Json = False,
) -> None:
    """Show every run: where it stands, its step, its loss or score."""
    if is_json and is_watched:
        raise UsageError("--watch is for people, --json for programs; ask for one of them")
    if is_json:
        print_json({"runs": [status_json(run) for run in look(runs_dir, is_offline)]})
    elif not is_watched:
        answer_console().print(status_table(look(runs_dir, is_offline)))
    elif (console := answer_console()).is_terminal:
        with Live(status_table(find_runs(runs_dir)), console=console, auto_refresh=False) as live:
            for runs in looks(runs_dir, is_offline):
                live.update(status_table(runs), refresh=True)
    else:
        for runs in looks(runs_dir, is_offline):
            console.print(status_table(runs))


def looks(runs_dir: Path, is_offline: bool) -> Iterator[list[RunDirectory]]:
    """The runs, again and again."""
    while True:
        yield look(runs_dir, is_offline)
        time.sleep(REFRESH_SECONDS)


def look(runs_dir: Path, is_offline: bool) -> list[RunDirectory]:
    """The runs; those at work on other machines have been asked after, all at once, unless that is unwanted."""
    runs = find_runs(runs_dir)
    elsewhere = [] if is_offline else [run for run in runs if run.remote_state]
    if elsewhere:
        with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
            for trouble in pool.map(ask_after, elsewhere):
                if trouble:
                    say(trouble)
    return runs


def ask_after(run: RunDirectory) -> str:
    """Why a run could not be asked after, or nothing; what it has said since lies in its directory."""
    handle = read_handle(run)
    try:
        status = launcher_of(handle["launcher"]).status(handle)
    except LauncherError as error:
        return f"{run.run_id}: {error}"
    return f"{run.run_id}: {status.message}" if status.state == "unreachable" else ""


@cache
def launcher_of(name: str) -> Launcher:
    """One launcher a name, which remembers when it last asked."""
    return load_launcher(name)


def status_json(run: RunDirectory) -> dict[str, Any]:
    """A run as its files describe it at this moment. Damaged files are no reason to say nothing of it, or of others."""
    nothing = dict.fromkeys((*SAID, "eta_seconds", "val_bpb", "launcher"))
    facts: dict[str, Any] = {"run_id": run.run_id, "run_dir": str(run.root), **nothing}
    try:
        return facts | described(run)
    except (KeyError, TypeError, ValueError, AttributeError, OSError) as error:
        return facts | {"state": "damaged", "error": f"its files cannot be read: {error!r}"}


def described(run: RunDirectory) -> dict[str, Any]:
    """What the files of a run say."""
    said, state = run.read_state(), run.state
    facts: dict[str, Any] = {"launcher": read_handle(run).get("launcher"), "state": state}
    facts |= {key: said.get(key) for key in SAID}
    for key in ("step", "scored", "total", "progress", "train_loss", "train_bpb", "elapsed_seconds"):
        if not isinstance(facts[key], int | float | None):
            raise ValueError(f"{key} is {facts[key]!r}")
    facts["eta_seconds"] = remaining_seconds(said) if state == "running" else None
    facts["val_bpb"] = (read_or_empty(run.files.result).get("headline") or {}).get("val_bpb")
    return facts


def remaining_seconds(said: dict[str, Any]) -> float | None:
    """Seconds left of the training, or of the scoring, at the speed so far."""
    match said:
        case {"phase": "evaluate", "scored": scored, "total": total, "stage_seconds": seconds} if scored:
            return float(seconds * (total - scored) / scored)
        case {"phase": "train", "step": step, "total": int(total), "step_seconds": float(seconds)}:
            return float((total - step) * seconds)
        case {"phase": "train", "progress": progress, "elapsed_seconds": seconds} if progress:
            return float(seconds * (1 - progress) / progress)  # a budget in seconds has no number of steps
    return None


def status_table(runs: list[RunDirectory]) -> Table:
    """One line a run."""
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
            in_words(facts["train_loss"], ".4f"),
            in_words(facts["train_bpb"], ".4f"),
            "" if facts["elapsed_seconds"] is None else in_time(facts["elapsed_seconds"]),
            "" if facts["eta_seconds"] is None else in_time(facts["eta_seconds"]),
            in_words(facts["val_bpb"], ".6f"),
        )
        phase = " ".join(word for word in (facts["phase"], facts["stage"]) if word)
        cells = (
            facts["run_id"],
            facts["launcher"] or "",
            facts["state"],
            phase,
            in_steps(facts),
            *numbers,
            facts["error"] or "",
        )
        table.add_row(*map(escape, cells))
    return table


def in_steps(facts: dict[str, Any]) -> str:
    """How far the present phase has come: steps, or scored tokens."""
    done = facts["scored"] if facts["phase"] == "evaluate" else facts["step"]
    return "" if done is None else f"{done}/{facts['total'] or '?'}"


def in_words(number: float | None, form: str) -> str:
    """A number for people; nothing where there is none."""
    return "" if number is None else f"{number:{form}}"
