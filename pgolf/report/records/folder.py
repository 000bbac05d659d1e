"""A public submission folder: its logs as runs, its claims, its code."""

from dataclasses import dataclass, field
from pathlib import Path

from pgolf.report.records.claims import Claims, read_claims, read_object
from pgolf.report.records.logs import LoggedRun, runs_in
from pgolf.report.records.text import TooLong, plain

MAIN = "train_gpt.py"
LOGS = ("*.log", "*.log.gz", "*.txt", "*.txt.gz")
NOT_LOGS = {"requirements.txt", "LICENSE.txt", "ORIGIN.txt"}
MOST_FILES, DEEPEST = 2_000, 4
# All public folders' logs together are smaller.
MOST_LOG_BYTES = 128_000_000


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
    root = folder.resolve()
    found = {path for pattern in LOGS for path in folder.rglob(pattern)}
    own = [path for path in found if path.is_file() and root in path.resolve().parents]
    near = [path for path in own if path.name not in NOT_LOGS and len(path.relative_to(folder).parts) <= DEEPEST]
    return sorted(near, key=lambda path: ("seed" not in path.name.lower(), path.as_posix()))[:MOST_FILES]


def read_record(folder: Path) -> Record:
    """A submission folder, read. Nothing in it is executed, and nothing outside it is opened."""
    record = Record(folder, read_claims(folder), code=code_sizes(folder))
    known: dict[tuple[object, ...], LoggedRun] = {}
    left = MOST_LOG_BYTES
    for path in log_files(folder):
        name = plain(path.relative_to(folder).as_posix())
        left -= path.stat().st_size
        if left < 0:
            record.unread[name] = f"not read: the logs before it have {MOST_LOG_BYTES:,} bytes already"
            continue
        try:
            runs, is_utf16 = runs_in(path, folder)
        except (OSError, TooLong) as error:
            record.unread[name] = str(error)
            continue
        take_file(record, known, name, runs)
        if is_utf16:
            record.utf16.append(name)
    return record


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
    """Bytes of the code files of a folder, counted; or as code_bytes.json has them where the files are not there."""
    stated = read_object(folder / "code_bytes.json")
    if isinstance(stated, dict):
        return {plain(name): size for name, size in stated.items() if isinstance(size, int)}
    suffixes = (".py", ".cpp", ".cu", ".c", ".cc", ".sh")
    files = [path for path in sorted(folder.rglob("*")) if path.suffix in suffixes and path.is_file()]
    return {plain(path.relative_to(folder).as_posix()): path.stat().st_size for path in files[:MOST_FILES]}
