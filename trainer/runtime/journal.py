"""What a run says while it works: state.json, metrics.jsonl, train.log."""

import json
import os
import time
from pathlib import Path
from typing import Any, Protocol

from trainer.recipe.files import RunFiles, write_json, write_whole

# How often state.json is replaced; `pgolf status` takes a run as silent only after many of these.
HEARTBEAT_SECONDS = 0.5


class Journal(Protocol):
    """How a process tells the world what it does."""

    def log(self, line: str) -> None: ...
    def report(self, **facts: Any) -> None: ...
    def pulse(self, **facts: Any) -> None: ...
    def record(self, row: dict[str, Any]) -> None: ...
    def truncate_after(self, step: int) -> None: ...


class SilentJournal:
    """A worker's: rank 0 speaks for all."""

    def log(self, line: str) -> None: ...
    def report(self, **facts: Any) -> None: ...
    def pulse(self, **facts: Any) -> None: ...
    def record(self, row: dict[str, Any]) -> None: ...
    def truncate_after(self, step: int) -> None: ...


class RunJournal:
    """The three files by which the world follows a run."""

    def __init__(self, files: RunFiles) -> None:
        self.files = files
        self.beat = 0.0
        self.current: dict[str, Any] = {}

    def log(self, line: str) -> None:
        """Nothing; a line for people."""
        append_line(self.files.log, f"{time.strftime('%H:%M:%S')} {line}")

    def report(self, **facts: Any) -> None:
        """Nothing; the facts stand in state.json at once."""
        self.current |= facts
        self.beat = time.monotonic()
        write_json(self.files.state, self.current | {"pid": os.getpid(), "heartbeat": time.time()})

    def pulse(self, **facts: Any) -> None:
        """Nothing; the facts stand in state.json before long."""
        self.current |= facts
        if time.monotonic() - self.beat > HEARTBEAT_SECONDS:
            self.report()

    def record(self, row: dict[str, Any]) -> None:
        """Nothing; one line in metrics.jsonl."""
        append_line(self.files.metrics, json.dumps(row, allow_nan=False))

    def truncate_after(self, step: int) -> None:
        """Nothing; metrics of steps that will be run again are gone, and so is a half-written last line."""
        if not self.files.metrics.exists():
            return
        kept = []
        for line in self.files.metrics.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                break
            if row["step"] <= step:
                kept.append(line + "\n")
        write_whole(self.files.metrics, "".join(kept).encode())


def make_journal(files: RunFiles, is_rank_zero: bool) -> Journal:
    """The journal of one process of a run."""
    return RunJournal(files) if is_rank_zero else SilentJournal()


def append_line(path: Path, line: str) -> None:
    """Nothing; the line ends the file.

    Raises: OSError naming the file, which a failed write on a full disk does not do by itself.
    """
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
