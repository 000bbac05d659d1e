"""Progress of a fetch: one bar of bytes on a terminal, a line a file anywhere else."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from pgolf.cli.display.console import progress_console, say
from pgolf.data.downloads import FetchDisplay


@contextmanager
def fetch_display() -> Iterator[FetchDisplay]:
    """Yield a progress bar if stderr is a terminal, else lines."""
    if not sys.stderr.isatty():
        yield FetchLines()
        return
    columns = (
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
    )  # fmt: skip
    with Progress(*columns, console=progress_console()) as progress:
        yield FetchBar(progress)


class FetchBar:
    """One bar for all files."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.console: Console = progress.console
        self.task: TaskID = progress.add_task("checking", total=None)
        self.complete = 0

    def say(self, line: str) -> None:
        self.console.print(escape(line))

    def expect(self, total_bytes: int) -> None:
        self.progress.reset(self.task, total=total_bytes)

    def start(self, name: str) -> None:
        self.progress.update(self.task, description=escape(name))

    def advance(self, count: int) -> None:
        self.progress.advance(self.task, count)

    def finish(self, name: str, size: int) -> None:
        self.complete += size
        self.progress.update(self.task, completed=self.complete)


class FetchLines:
    """One line per fetched file."""

    def __init__(self) -> None:
        self.total = 0
        self.complete = 0

    def say(self, line: str) -> None:
        say(line)

    def expect(self, total_bytes: int) -> None:
        self.total = total_bytes
        if total_bytes:
            say(f"{total_bytes:,} bytes to fetch")

    def start(self, name: str) -> None:
        """Do nothing: the line is printed at the end of a file."""

    def advance(self, count: int) -> None:
        """Do nothing: the line is printed at the end of a file."""

    def finish(self, name: str, size: int) -> None:
        self.complete += size
        say(f"{name}: {size:,} bytes, checksum matches ({self.complete:,} of {self.total:,})")
