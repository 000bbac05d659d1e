"""Progress of runs: a bar a run on a terminal, the lines of their logs anywhere else."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from pgolf.campaign.observer import Observer
from pgolf.cli.display.console import findings_table, progress_console, say
from pgolf.findings import Finding
from pgolf.rundir import RunDirectory
from trainer.recipe.reading import open_regular

# Of a log. A line that is longer is printed in parts.
MOST_BYTES_AT_ONCE = 1 << 20


@contextmanager
def watching(is_quiet: bool = False) -> Iterator[Observer]:
    """Yield an observer: progress bars if stderr is a terminal, else lines; messages only if it is quiet."""
    if is_quiet or not sys.stderr.isatty():
        yield MessageObserver() if is_quiet else LineObserver()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[facts]}"), TimeRemainingColumn())
    with Progress(*columns, console=progress_console()) as progress:
        yield BarObserver(progress)


class MessageObserver(Observer):
    """Prints messages and findings on stderr."""

    def say(self, message: str) -> None:
        say(message)

    def show_findings(self, title: str, findings: Sequence[Finding]) -> None:
        if title:
            say(f"{title}:")
        progress_console().print(findings_table(list(findings)))

    def run_started(self, run: RunDirectory) -> None:
        say(f"{run.run_id} in {run.root}")


class BarObserver(MessageObserver):
    """Shows a progress bar a run."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.bars: dict[str, tuple[RunDirectory, TaskID]] = {}

    def run_started(self, run: RunDirectory) -> None:
        super().run_started(run)
        self.bars[run.run_id] = run, self.progress.add_task(f"{run.run_id} starting", total=None, facts="")

    def runs_polled(self) -> None:
        for run, bar in self.bars.values():
            state = run.read_state()
            total = state.get("total") or 0
            done = state.get("scored") if state.get("phase") == "evaluate" else state.get("step")
            self.progress.update(
                bar,
                description=f"{run.run_id} {state.get('stage') or state.get('phase') or 'starting'}",
                total=total or None,
                completed=done or 0,
                facts=describe_state(state),
            )

    def run_ended(self, run: RunDirectory) -> None:
        _, bar = self.bars.pop(run.run_id, (None, None))
        if bar is not None:
            self.progress.remove_task(bar)
            say(f"{run.run_id} {run.state}")


class LineObserver(MessageObserver):
    """Prints new lines of each run's log."""

    def __init__(self) -> None:
        self.logs: dict[str, tuple[Path, int]] = {}

    def run_started(self, run: RunDirectory) -> None:
        super().run_started(run)
        log = run.files.log
        self.logs[run.run_id] = log, log.stat().st_size if log.exists() else 0

    def runs_polled(self) -> None:
        for run_id in list(self.logs):
            self.print_new_lines(run_id)

    def run_ended(self, run: RunDirectory) -> None:
        if run.run_id in self.logs:
            self.print_new_lines(run.run_id)
            self.logs.pop(run.run_id, None)

    def print_new_lines(self, run_id: str) -> None:
        """Print the complete lines that were added to a log since the last call. Name an unreadable log once."""
        path, position = self.logs[run_id]
        if not path.exists():
            return
        try:
            with open_regular(path) as log:
                log.seek(position)
                while part := log.read(MOST_BYTES_AT_ONCE):
                    end = part.rfind(b"\n") + 1
                    if not end and len(part) < MOST_BYTES_AT_ONCE:  # the line is still being written
                        break
                    complete = part[: end or MOST_BYTES_AT_ONCE]
                    position = log.seek(position + len(complete))
                    for line in complete.decode(errors="replace").splitlines():
                        say(f"{run_id}: {line}")
        except (OSError, ValueError) as error:
            say(f"{run_id}: the log cannot be read: {error}")
            del self.logs[run_id]
            return
        self.logs[run_id] = path, position


def describe_state(state: Mapping[str, Any]) -> str:
    """Return step, loss and speed of a run that is training."""
    loss, bpb, seconds = state.get("train_loss"), state.get("train_bpb"), state.get("step_seconds")
    if state.get("phase") != "train" or loss is None:
        return ""
    facts = [f"step {state.get('step')}/{state.get('total') or '?'}", f"loss {loss:.3f}"]
    if bpb is not None:  # a script may not print it
        facts.append(f"{bpb:.3f} bpb")
    if seconds is not None:
        facts.append(f"{1000 * seconds:.0f} ms/step")
    return ", ".join(facts)
