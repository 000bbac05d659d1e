"""What a run writes while it works: state.json, metrics.jsonl, train.log."""

import json
import os
import time
from pathlib import Path
from typing import Any, Protocol

from trainer.recipe.files import RunFiles
from trainer.recipe.reading import parse_json, read_bytes
from trainer.recipe.writing import write_json, write_whole

# How often state.json is replaced. `pgolf status` calls a run silent only after many of these.
HEARTBEAT_SECONDS = 0.5
MOST_BYTES_OF_METRICS = 256_000_000


class Journal(Protocol):
    """Where a rank reports its progress."""

    def log(self, line: str) -> None: ...
    def report(self, **facts: Any) -> None: ...
    def pulse(self, **facts: Any) -> None: ...
    def record(self, row: dict[str, Any]) -> None: ...
    def score(self, metric: dict[str, Any]) -> None: ...
    def truncate_after(self, step: int) -> None: ...


class SilentJournal:
    """The journal of all ranks but 0. It writes nothing."""

    def log(self, *_: Any, **facts: Any) -> None: ...

    report = pulse = record = score = truncate_after = log


class RunJournal:
    """The journal of rank 0, in three files."""

    def __init__(self, files: RunFiles) -> None:
        self.files = files
        self.reported_at = 0.0
        self.current: dict[str, Any] = {}

    def log(self, line: str) -> None:
        """Append a line with the time of day to train.log."""
        append_line(self.files.log, f"{time.strftime('%H:%M:%S')} {line}")

    def report(self, **facts: Any) -> None:
        """Write facts to state.json now."""
        self.current |= facts
        self.reported_at = time.monotonic()
        write_json(self.files.state, self.current | {"pid": os.getpid(), "heartbeat": time.time()})

    def pulse(self, **facts: Any) -> None:
        """Write facts to state.json with the next heartbeat."""
        self.current |= facts
        if time.monotonic() - self.reported_at > HEARTBEAT_SECONDS:
            self.report()

    def record(self, row: dict[str, Any]) -> None:
        """Append a row to metrics.jsonl."""
        append_line(self.files.metrics, json.dumps(row, allow_nan=False))

    def score(self, metric: dict[str, Any]) -> None:
        """Append a score to train.log."""
        label = f"{metric['stage']} {metric.get('quantizer', metric['protocol'])}"
        self.log(f"score: {label} val_loss {metric['val_loss']:.6f} val_bpb {metric['val_bpb']:.6f}")

    def truncate_after(self, step: int) -> None:
        """Remove the metrics of later steps, which will run again, and all from a damaged line on."""
        if not self.files.metrics.exists():
            return
        kept = []
        for line in metrics_lines(self.files.metrics):
            try:
                row = parse_json(line, self.files.metrics.name)
            except ValueError:
                break
            if not isinstance(row, dict) or not isinstance(row.get("step"), int):
                break
            if row["step"] <= step:
                kept.append(line + b"\n")
        write_whole(self.files.metrics, b"".join(kept))


def metrics_lines(path: Path) -> list[bytes]:
    """Return the lines of metrics.jsonl; none if it cannot be read: it is a report, and training goes on."""
    try:
        return read_bytes(path, MOST_BYTES_OF_METRICS).splitlines()
    except (OSError, ValueError):
        return []


def make_journal(files: RunFiles, is_rank_zero: bool) -> Journal:
    """Return the journal of a rank."""
    return RunJournal(files) if is_rank_zero else SilentJournal()


def append_line(path: Path, line: str) -> None:
    """Append a line to a file.

    Raises:
        OSError: it cannot be written; names the file, which Python's own error on a full disk does not.
    """
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
