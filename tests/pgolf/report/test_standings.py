"""The cache of what was read of records: the same answers as without it, and nothing stale, damaged or lost."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from shutil import rmtree

import pytest
from platformdirs import user_cache_path

from pgolf.report import standings
from pgolf.report.standings import read_standings
from pgolf.rulesets.ruleset import load_ruleset
from tests.conftest import Ended
from tests.pgolf.report.test_leaderboard import write_record

RULES = load_ruleset("parameter_golf")

SEVERAL_PROCESSES = pytest.mark.skipif(
    not Path("/proc/self/task").is_dir() or os.cpu_count() == 1, reason="needs /proc and two cores"
)


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return the folders of two records, with a cache that is empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for number, name in enumerate(("one", "two")):
        write_record(tmp_path / "records" / name, 1.1 + number / 10)
    return sorted((tmp_path / "records").iterdir())


def read(folders: list[Path]) -> tuple[list[float | None], list[bool]]:
    """Return the mean of each record, and whether it was in the cache."""
    was_cached: list[bool] = []
    found = read_standings(folders, RULES, was_cached.append)
    return [standing.mean for standing in found], was_cached


@pytest.mark.parametrize("form", ["table", "json", "csv", "markdown", "html"])
def test_a_cached_answer_equals_an_uncached_one(pgolf: Callable[..., Ended], folders: list[Path], form: str) -> None:
    arguments = ("report", "--leaderboard", str(folders[0].parent), "--format", form)
    uncached = pgolf(*arguments)
    assert len(list((user_cache_path("pgolf") / "standings").iterdir())) == 2
    cached = pgolf(*arguments)
    assert (uncached.code, cached.code) == (0, 0)
    assert uncached.out == cached.out != ""


def test_changed_files_are_read_again(folders: list[Path]) -> None:
    assert read(folders)[1] == [False, False]
    log = folders[0] / "train_seed42.log"
    log.write_text(log.read_text().replace("1.10000000", "1.40000000"))
    means, was_cached = read(folders)
    assert means[0] == pytest.approx((1.4 + 1.101 + 1.102) / 3)
    assert was_cached == [False, True]
    log.rename(log.with_name("train_seed43.log"))
    assert read(folders)[1] == [False, True]


def test_other_rules_and_other_code_are_read_again(folders: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    read(folders)
    smaller = RULES.model_copy(update={"limits": RULES.limits.model_copy(update={"bytes": 15_000_000})})
    assert [standing.group["over_limit"] for standing in read_standings(folders, smaller)] == [True, True]
    assert read(folders)[1] == [False, False]
    monkeypatch.setattr(standings, "source_sha256", lambda: "other")
    assert read(folders)[1] == [False, False]


@pytest.mark.parametrize("damage", ["cut", "digit", "foreign", "empty", "folder"])
def test_a_damaged_entry_is_ignored(folders: list[Path], damage: str) -> None:
    means, _ = read(folders)
    for entry in (user_cache_path("pgolf") / "standings").iterdir():
        content = entry.read_bytes()
        match damage:
            case "cut":
                entry.write_bytes(content[:-1])
            case "digit":
                entry.write_bytes(content.replace(b'"mean": 1.', b'"mean": 0.'))
            case "foreign":
                entry.write_bytes(json.dumps({"mean": 0}).encode())
            case "empty":
                entry.write_bytes(b"")
            case "folder":
                entry.unlink()
                entry.mkdir()
    assert read(folders) == (means, [False, False])
    assert read(folders)[1] == [damage != "folder"] * 2


def test_a_cache_that_cannot_be_written_is_skipped(folders: list[Path]) -> None:
    means, _ = read(folders)
    cache = user_cache_path("pgolf")
    rmtree(cache)
    cache.parent.mkdir(parents=True, exist_ok=True)
    cache.write_text("no folder")
    assert read(folders) == (means, [False, False])


def test_processes_read_as_one_does(folders: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    alone = read_standings(folders, RULES)
    rmtree(user_cache_path("pgolf"))
    monkeypatch.setattr(standings, "FEWEST_FOR_A_POOL", 1)
    monkeypatch.setattr(standings, "allowed_cores", lambda: 2)
    assert read_standings(folders, RULES) == alone


def reading_many(folder: Path) -> tuple[subprocess.Popen[str], list[int]]:
    """Return the command that ranks many records, with the processes that read them, once it has read some."""
    for number in range(400):
        write_record(folder / f"record-{number}", 1.1 + number / 1000)
    command = [sys.executable, "-m", "pgolf", "report", "--leaderboard", str(folder), "--json"]
    own_cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))  # a test has one core, with which no other process reads
    process = subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    os.sched_setaffinity(0, own_cores)
    entries, deadline = user_cache_path("pgolf") / "standings", time.monotonic() + 60
    while not (entries.is_dir() and any(entries.iterdir())):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    workers = [int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return process, workers


@pytest.mark.slow
@SEVERAL_PROCESSES
def test_a_killed_command_leaves_no_process_and_the_same_command_continues(
    pgolf: Callable[..., Ended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    process, workers = reading_many(tmp_path / "many")
    process.kill()
    process.communicate()
    assert workers
    again = pgolf("report", "--leaderboard", str(tmp_path / "many"), "--json")
    assert len(again.json["leaderboard"]) == 400
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)


@pytest.mark.slow
@SEVERAL_PROCESSES
def test_a_killed_reader_ends_the_command_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    process, workers = reading_many(tmp_path / "many")
    os.kill(workers[0], signal.SIGKILL)
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == 6
    assert "a process that reads records was killed" in " ".join(complaint.split())
