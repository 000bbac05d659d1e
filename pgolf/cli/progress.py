"""Watching runs: a bar a run on a terminal, the lines of their logs anywhere else."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from pgolf.cli.console import progress_console, say
from pgolf.rundir import RunDirectory

LOOK_SECONDS = 0.2


class Display(Protocol):
    """What the watching loop tells."""

    def start(self, run: RunDirectory) -> None: ...
    def look(self) -> None: ...
    def end(self, run: RunDirectory) -> None: ...


@contextmanager
def run_display(is_quiet: bool) -> Iterator[Display]:
    """A display for the stream that stderr is."""
    if is_quiet or not sys.stderr.isatty():
        yield LineDisplay(is_quiet)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[facts]}"), TimeRemainingColumn())
    with Progress(*columns, console=progress_console()) as progress:
        yield BarDisplay(progress)


class BarDisplay:
    """A progress bar a run."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.tasks: dict[str, tuple[RunDirectory, TaskID]] = {}

    def start(self, run: RunDirectory) -> None:
        task = self.progress.add_task(f"{run.run_id} starting", total=None, facts="")
        self.tasks[run.run_id] = run, task

    def look(self) -> None:
        for run, task in self.tasks.values():
            state = run.read_state()
            total = state.get("total") or 0
            done = state.get("scored") if state.get("phase") == "evaluate" else state.get("step")
            self.progress.update(
                task,
                description=f"{run.run_id} {state.get('stage') or state.get('phase') or 'starting'}",
                total=total or None,
                completed=done or 0,
                facts=describe_state(state),
            )

    def end(self, run: RunDirectory) -> None:
        _, task = self.tasks.pop(run.run_id, (None, None))
        if task is not None:
            self.progress.update(task, description=f"{run.run_id} {run.state}", total=1, completed=1)


class LineDisplay:
    """New lines of each run's log."""

    def __init__(self, is_quiet: bool) -> None:
        self.is_quiet = is_quiet
        self.logs: dict[str, tuple[Path, int]] = {}

    def start(self, run: RunDirectory) -> None:
        log = run.files.log
        self.logs[run.run_id] = log, log.stat().st_size if log.exists() else 0

    def look(self) -> None:
        for run_id in self.logs:
            self.print_new_lines(run_id)

    def print_new_lines(self, run_id: str) -> None:
        path, position = self.logs[run_id]
        if self.is_quiet or not path.exists():
            return
        with path.open("rb") as log:
            log.seek(position)
            complete, newline, _ = log.read().rpartition(b"\n")
        self.logs[run_id] = path, position + len(complete) + len(newline)
        for line in complete.decode(errors="replace").splitlines():
            say(f"{run_id}: {line}")

    def end(self, run: RunDirectory) -> None:
        if run.run_id in self.logs:
            self.print_new_lines(run.run_id)
            del self.logs[run.run_id]


def describe_state(state: dict[str, Any]) -> str:
    """Loss and speed, in a few words."""
    if state.get("phase") != "train" or "train_loss" not in state:
        return ""
    facts = [f"step {state['step']}/{state.get('total') or '?'}", f"loss {state['train_loss']:.3f}"]
    if state.get("train_bpb") is not None:  # of a script it may not be known
        facts.append(f"{state['train_bpb']:.3f} bpb")
    if state.get("step_seconds") is not None:
        facts.append(f"{1000 * state['step_seconds']:.0f} ms/step")
    return ", ".join(facts)


def pause() -> None:
    """Nothing; a moment has passed."""
    time.sleep(LOOK_SECONDS)
