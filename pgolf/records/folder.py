"""A public submission folder: its logs as runs, its claims, its code."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pgolf.records.claims import Claims, read_claims
from pgolf.records.logs import runs_in
from trainer.dialects.logged import LoggedRun, merge
from trainer.dialects.plain import TooLong, plain

MAIN = "train_gpt.py"
CODE_SUFFIXES = (".py", ".cpp", ".cu", ".c", ".cc", ".sh")
LOGS = ("*.log", "*.log.gz", "*.txt", "*.txt.gz")
NOT_LOGS = {"requirements.txt", "LICENSE.txt"}
MOST_FILES, DEEPEST = 2_000, 4
# All public folders' logs together are smaller.
MOST_LOG_BYTES, MOST_BAD_LOGS = 64_000_000, 8


@dataclass(slots=True)
class Record:
    """Everything that a folder holds, before anything is made of it."""

    folder: Path
    claims: Claims
    runs: list[LoggedRun] = field(default_factory=list)
    """Each once, as the file that is named after its seed prints it."""
    code: dict[str, int] = field(default_factory=dict)
    """Bytes of each committed code file."""
    copies: dict[str, list[str]] = field(default_factory=dict)
    """Files that print only runs which other files print as well, and how many of them."""
    utf16: list[str] = field(default_factory=list)
    several: dict[str, list[int]] = field(default_factory=dict)
    """Seeds of files that print more than one run."""
    unread: dict[str, str] = field(default_factory=dict)
    """Files that could not be read, and why."""
    logs: int = 0


def is_inside(path: Path, folder: Path) -> bool:
    """Whether a path is a plain file of a folder: no pipe, and no link that leads out."""
    return path.is_file() and folder.resolve() in path.resolve().parents


def is_record(path: Path) -> bool:
    """Whether a folder is a submission folder, and no folder of runs of pgolf's own."""
    if not path.is_dir() or (path / "run.json").exists() or any(path.glob("seed-*/run.json")):
        return False
    if (path / "submission.json").exists():
        return True
    holds_others = any(path.glob("*/submission.json")) or any(path.glob("*/*/submission.json"))
    return not holds_others and not any(path.glob("*/*/run.json")) and bool(own_logs(path))


def own_logs(folder: Path) -> list[Path]:
    """Logs of a folder itself, or of a folder for logs in it: what lies deeper is of other records."""
    return [path for path in log_files(folder) if path.parent == folder or "log" in path.parent.name.lower()]


def log_files(folder: Path) -> list[Path]:
    """Files that may be logs, those named after a seed first. Links that lead out of the folder are none."""
    near = [
        path
        for path in files_near(folder)
        if path.name not in NOT_LOGS and any(map(path.match, LOGS)) and is_inside(path, folder)
    ]
    return sorted(near, key=lambda path: ("seed" not in path.name.lower(), path.as_posix()))[:MOST_FILES]


def files_near(folder: Path) -> Iterator[Path]:
    """Files of a folder, as deep as records go."""
    for place, below, names in os.walk(folder):
        if len(Path(place).relative_to(folder).parts) >= DEEPEST - 1:
            below.clear()
        yield from (Path(place, name) for name in sorted(names))


def read_record(folder: Path) -> Record:
    """A submission folder, read. Nothing in it is executed, and nothing outside it is opened."""
    record = Record(folder, read_claims(folder), code=code_sizes(folder))
    known: dict[tuple[object, ...], LoggedRun] = {}
    left = MOST_LOG_BYTES
    for path in log_files(folder):
        name = plain(path.relative_to(folder).as_posix())
        if left <= 0:
            record.unread[name] = f"not read: the logs before it have {MOST_LOG_BYTES:,} bytes already"
            continue
        try:
            runs, is_utf16, size = runs_in(path, folder)
            left -= size
        except (OSError, TooLong) as error:
            record.unread[name] = str(error)
            left -= MOST_LOG_BYTES // MOST_BAD_LOGS
            continue
        take_file(record, known, name, runs)
        if is_utf16:
            record.utf16.append(name)
    join_evaluations(record)
    return record


def join_evaluations(record: Record) -> None:
    """Nothing; a log of an evaluation alone is part of the run of its seed, where there is one."""
    trained = {run.seed: run for run in record.runs if not run.is_evaluation}
    for run in [run for run in record.runs if run.is_evaluation and run.seed is not None and run.seed in trained]:
        merge(trained[run.seed], run)
        trained[run.seed].copies -= run.copies
        record.runs.remove(run)


def take_file(record: Record, known: dict[tuple[object, ...], LoggedRun], name: str, runs: list[LoggedRun]) -> None:
    """Nothing; the record has the runs of a file that it did not have, and knows which it had."""
    record.logs += bool(runs)
    if len({run.seed for run in runs}) > 1:
        record.several[name] = [run.seed for run in runs if run.seed is not None]
    twins = []
    for run in runs:
        twin = known.setdefault(run.identity, run)
        if twin is run:
            record.runs.append(run)
        else:
            twins.append(twin.file)
    if twins and len(twins) == len(runs):
        record.copies[name] = twins


def code_sizes(folder: Path) -> dict[str, int]:
    """Bytes of the code files of a folder, counted."""
    files = [path for path in files_near(folder) if path.suffix in CODE_SUFFIXES and is_inside(path, folder)]
    return {plain(path.relative_to(folder).as_posix()): path.stat().st_size for path in files[:MOST_FILES]}
