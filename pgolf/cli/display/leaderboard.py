"""The leaderboard on a terminal: progress while folders are read, then the ranking."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pgolf.cli.display.console import print_line, printable, progress_console, say
from pgolf.cli.display.table import Column, FittedTable
from pgolf.report.leaderboard import Entry, not_ranked_lines
from pgolf.report.standings import Progress as CountFolder

# Between lines, where stderr is no terminal. Reading a few folders takes less and prints none.
SECONDS_BETWEEN_LINES = 5.0
# In the order of `Entry.cells`; instead of every problem, the verdict.
COLUMNS = (
    Column("rank", "number"),
    Column("record", "name"),
    Column("mean bpb", "number"),
    Column("std", "number", priority=1),
    Column("n", "number"),
    Column("metric", priority=4),
    Column("largest bytes", "number", priority=2),
    Column("claimed bpb", "number", priority=3),
    Column("problems", "text"),
)


@contextmanager
def counting_folders(total: int) -> Iterator[CountFolder]:
    """Yield what counts the folders that were read: a progress bar if stderr is a terminal, else lines."""
    if not sys.stderr.isatty():
        yield LineCounter(total).count
        return
    columns = (TextColumn("reading records"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=progress_console(), transient=True) as progress:
        bar = progress.add_task("", total=total)
        yield lambda _: progress.advance(bar)


class LineCounter:
    """Prints every few seconds how many folders were read."""

    def __init__(self, total: int) -> None:
        self.total, self.read, self.cached = total, 0, 0
        self.printed = time.monotonic()

    def count(self, was_cached: bool) -> None:
        """Count a folder."""
        self.read += 1
        self.cached += was_cached
        if time.monotonic() - self.printed >= SECONDS_BETWEEN_LINES:
            say(f"read {self.read:,} of {self.total:,} records, {self.cached:,} of them from the cache")
            self.printed = time.monotonic()


def print_leaderboard(entries: Sequence[Entry], console: Console) -> None:
    """Print the ranking, and why the other records are not ranked."""
    table = FittedTable(*COLUMNS)
    for entry in entries:
        table.add_row(*entry.cells()[:-1], entry.verdict, style="dim" if entry.rank is None else "")
    console.print(table)
    for line in not_ranked_lines(entries):
        print_line(console, printable(line), "yellow")
