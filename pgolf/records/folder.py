"""A public submission folder: its logs as runs, its claims, and the sizes of its code."""

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pgolf.records.claim_reading import read_claims
from pgolf.records.claims import Claims
from pgolf.records.evidence import printed_seeds
from pgolf.records.logs import runs_in
from pgolf.records.printed import Printed
from pgolf.records.submission_json import FILE as SUBMISSION
from trainer.dialects.logged import LoggedRun, merge
from trainer.dialects.plain import TooLong, plain

MAIN = "train_gpt.py"
CODE_SUFFIXES = (".py", ".cpp", ".cu", ".c", ".cc", ".sh")
LOG_SUFFIXES = (".log", ".txt", ".out", ".err", ".jsonl", ".ipynb")
# A name without one of these endings is that of a log if it says so.
LOG_NAME = re.compile(r"(?:^|[^a-z])(?:log|train|seed|run|eval|stdout)", re.IGNORECASE)
NOT_LOGS = {"requirements.txt", "LICENSE.txt"}
MAX_FILES, MAX_DEPTH = 2_000, 4
# All logs of any public folder together have fewer bytes.
MAX_LOG_BYTES = 64_000_000
# What a log that cannot be read counts against that limit.
UNREADABLE_LOG_BYTES = MAX_LOG_BYTES // 8
# Scores of two runs are not equal to so many decimals by chance.
EXACT_DECIMALS = 6


@dataclass(slots=True)
class Record:
    """A submission folder as read."""

    folder: Path
    claims: Claims
    runs: list[LoggedRun] = field(default_factory=list)
    """Each run once; if several files print it, from the file that is named after its seed."""
    code: dict[str, int] = field(default_factory=dict)
    """Bytes of each committed code file."""
    copies: dict[str, list[str]] = field(default_factory=dict)
    """Logs that print only runs of other logs, with the names of those logs."""
    utf16_logs: list[str] = field(default_factory=list)
    multi_seed_logs: dict[str, list[Printed]] = field(default_factory=dict)
    """Logs that print runs of several seeds, with these seeds."""
    default_seeds: list[Printed] = field(default_factory=list)
    """Seeds that logs print alike although they are named after different ones."""
    unreadable: dict[str, str] = field(default_factory=dict)
    """Logs that could not be read, with the reason."""
    log_count: int = 0
    """Number of files that print at least one run."""


def is_inside(path: Path, folder: Path) -> bool:
    """Return whether a path is a regular file below a folder, not a pipe and not a link that leads out."""
    return path.is_file() and folder.resolve() in path.resolve().parents


def is_record(path: Path) -> bool:
    """Return whether a path is a submission folder, as opposed to pgolf's own runs or a folder of submissions."""
    if not path.is_dir() or (path / "run.json").exists() or any(path.glob("seed-*/run.json")):
        return False
    if (path / "submission.json").exists():
        return True
    holds_others = any(path.glob("*/submission.json")) or any(path.glob("*/*/submission.json"))
    return not holds_others and not any(path.glob("*/*/run.json")) and bool(own_logs(path))


def own_logs(folder: Path) -> list[Path]:
    """Return the logs in a folder itself and in its log folders; deeper ones may belong to other records."""
    return [path for path in log_files(folder) if path.parent == folder or "log" in path.parent.name.lower()]


def log_files(folder: Path) -> list[Path]:
    """Return the files below a folder that may be logs, those with `seed` in their name first."""
    paths = [
        path
        for path in walk_files(folder)
        if path.name not in NOT_LOGS and may_be_log(path) and is_inside(path, folder)
    ]
    return sorted(paths, key=lambda path: ("seed" not in path.name.lower(), path.as_posix()))[:MAX_FILES]


def may_be_log(path: Path) -> bool:
    """Return whether a file may be a log by its name, such as train.log, run.out.gz or train.ipynb."""
    name = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    return name.suffix.lower() in LOG_SUFFIXES or (not name.suffix and LOG_NAME.search(name.name) is not None)


def walk_files(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder, down to MAX_DEPTH."""
    for place, below, names in os.walk(folder):
        if len(Path(place).relative_to(folder).parts) >= MAX_DEPTH - 1:
            below.clear()
        yield from (Path(place, name) for name in sorted(names))


def read_record(folder: Path) -> Record:
    """Read a submission folder without executing anything in it or opening anything outside it.

    Where no log has a score, the JSON files beside submission.json are read for results.
    """
    record = Record(folder, read_claims(folder), code=code_sizes(folder))
    add_logs(record, log_files(folder))
    if not record.runs:
        add_logs(record, result_files(folder))
    drop_unnamed_copies(record)
    take_named_seeds(record)
    merge_evaluations(record)
    take_claimed_seeds(record)
    return record


def result_files(folder: Path) -> list[Path]:
    """Return the JSON files of a folder other than submission.json, in which results may be."""
    paths = [path for path in walk_files(folder) if path.suffix.lower() == ".json" and is_inside(path, folder)]
    return sorted(path for path in paths if path.name != SUBMISSION)[:MAX_FILES]


def add_logs(record: Record, paths: list[Path]) -> None:
    """Read files for runs, as far as they are within bounds together."""
    known: dict[tuple[object, ...], LoggedRun] = {}
    left = MAX_LOG_BYTES
    for path in paths:
        name = plain(path.relative_to(record.folder).as_posix())
        if left <= 0:
            record.unreadable[name] = f"not read, because the logs before it have {MAX_LOG_BYTES:,} bytes"
            continue
        try:
            runs, is_utf16, size = runs_in(path, record.folder)
            left -= size
        except (OSError, TooLong) as error:
            record.unreadable[name] = str(error)
            left -= UNREADABLE_LOG_BYTES
            continue
        add_log(record, known, name, runs)
        if is_utf16:
            record.utf16_logs.append(name)


def drop_unnamed_copies(record: Record) -> None:
    """Drop each run of unknown seed whose exact scores are all those of another run, and note its log as a copy."""
    for run in [run for run in record.runs if run.seed is None]:
        scores = exact_scores(run)
        twin = next((other for other in record.runs if other is not run and scores <= exact_scores(other)), None)
        if scores and twin is not None:
            record.runs.remove(run)
            record.copies[run.file] = [twin.file]


def exact_scores(run: LoggedRun) -> set[float]:
    """Return the scores of a run that have too many decimals to be those of another run by chance."""
    return {score.val_bpb for score in run.scores if score.decimals >= EXACT_DECIMALS}


def take_claimed_seeds(record: Record) -> None:
    """Give a run whose seed no log shows the only claimed seed that has one of its exact scores.

    A seed that logs of several claimed seeds print is a default, and shows nothing.
    """
    printed = Counter(run.seed for run in record.runs)
    known = {run.seed for run in record.runs if printed[run.seed] == 1}
    claimed = {run.file: seed for run in record.runs if (seed := claimed_seed(run, record.claims, known)) is not None}
    alike: dict[int | None, set[int]] = {}
    for run in record.runs:
        if run.file in claimed:
            alike.setdefault(run.seed, set()).add(claimed[run.file])
    for run in [run for run in record.runs if run.file in claimed]:
        if claimed[run.file] not in known and (run.seed is None or len(alike[run.seed]) > 1):
            run.seed = claimed[run.file]
            known.add(run.seed)


def claimed_seed(run: LoggedRun, claims: Claims, known: set[int | None]) -> int | None:
    """Return the only claimed seed, of those that no log shows, that has one of a run's exact scores."""
    seeds = [
        seed
        for seed, claim in claims.bpb_by_seed.items()
        if seed not in known and claim.decimals >= EXACT_DECIMALS and claim.value in exact_scores(run)
    ]
    return seeds[0] if len(seeds) == 1 else None


def take_named_seeds(record: Record) -> None:
    """Give runs that print one seed, and are named after several, the seeds of their names: it may be a default."""
    for seed in {run.seed for run in record.runs if run.seed_line}:
        alike = [run for run in record.runs if run.seed == seed and run.is_named_after_seed]
        if len({run.named_seed for run in alike}) == len(alike) > 1:
            record.default_seeds += printed_seeds(run for run in alike if run.named_seed != seed)
            for run in alike:
                run.seed, run.seed_line = run.named_seed, 0


def merge_evaluations(record: Record) -> None:
    """Merge each run that is only an evaluation into the training run of its seed, if there is one.

    The log of an evaluation may print its program's default seed; the seed in its name counts if a run trained with it.
    """
    trained = {run.seed: run for run in record.runs if not run.is_evaluation}
    for run in [run for run in record.runs if run.is_evaluation]:
        beside = [other for other in record.runs if not other.is_evaluation and is_beside(other, run)]
        if len(beside) == 1 and (run.seed is None or run.seed == beside[0].seed):
            merge(beside[0], run)
            beside[0].copies -= run.copies
            record.runs.remove(run)
    for run in record.runs:
        if run.is_evaluation and run.named_seed in trained:
            run.seed, run.seed_line = run.named_seed, 0
    for run in [run for run in record.runs if run.is_evaluation and run.seed is not None and run.seed in trained]:
        merge(trained[run.seed], run)
        trained[run.seed].copies -= run.copies
        record.runs.remove(run)


def is_beside(one: LoggedRun, other: LoggedRun) -> bool:
    """Return whether two logs are in one folder below that of the record."""
    folder = Path(one.file).parent
    return folder == Path(other.file).parent and folder != Path() and one.file != other.file


def add_log(record: Record, known: dict[tuple[object, ...], LoggedRun], name: str, runs: list[LoggedRun]) -> None:
    """Add the runs of a log that `known` does not hold yet, and note the log as a copy if it holds all of them."""
    record.log_count += bool(runs)
    if len({run.seed for run in runs}) > 1:
        record.multi_seed_logs[name] = printed_seeds(runs)
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
    """Return the bytes of each code file below a folder."""
    files = [path for path in walk_files(folder) if path.suffix in CODE_SUFFIXES and is_inside(path, folder)]
    return {plain(path.relative_to(folder).as_posix()): path.stat().st_size for path in files[:MAX_FILES]}
