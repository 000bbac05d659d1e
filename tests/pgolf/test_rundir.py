"""The state of a run as the files of its directory describe it."""

import fcntl
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pgolf.errors import MachineError, UsageError
from pgolf.rundir import (
    RunDirectory,
    attempts,
    find_run,
    find_runs,
    follow_file,
    new_attempt,
    newest_run,
    run_folder,
    seed_and_attempt,
)


def make(root: Path) -> RunDirectory:
    """Create a run directory."""
    run = RunDirectory(root)
    run.create({"name": "x"}, {"run_id": run.run_id}, {})
    return run


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return make(tmp_path / "exp-12345678" / "seed-1337")


def test_names_come_from_the_folder(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "exp-12345678" / "seed-42.3")
    assert (run.run_id, run.seed, run.attempt) == ("exp-12345678/seed-42.3", 42, 3)
    assert run_folder(tmp_path, "exp", "1234567890abcdef") == tmp_path / "exp-12345678"


@pytest.mark.parametrize(
    ("name", "expected"), [("seed-0", (0, 0)), ("seed-1337", (1337, 0)), ("seed-1.1", (1, 1)), ("seed-1.10", (1, 10))]
)
def test_a_folder_name_is_a_seed_and_an_attempt(name: str, expected: tuple[int, int]) -> None:
    assert seed_and_attempt(Path(name)) == expected


@pytest.mark.parametrize("name", ["seed-", "seed-x", "seed-1.", "seed-1-backup", "xseed-1", "seed--1", "seed-1.2.3"])
def test_any_other_folder_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="seed-1337"):
        seed_and_attempt(Path(name))


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (None, "prepared"),
        ("", "prepared"),
        ('{"phase": "tra', "prepared"),
        ("[]", "prepared"),
        ('{"phase": "train", "pid": 1}', "stopped"),
        ('{"phase": "stopped"}', "stopped"),
        ('{"phase": "failed"}', "failed"),
        ('{"phase": "finished"}', "stopped"),
    ],
)
def test_without_lock_and_result_the_state_file_decides(run: RunDirectory, state: str | None, expected: str) -> None:
    if state is not None:
        run.files.state.write_text(state)
    assert run.state == expected


def test_a_held_lock_means_running_and_a_free_one_does_not(run: RunDirectory) -> None:
    run.files.state.write_text('{"phase": "failed"}')
    with run.files.lock.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        while_held = (run.is_alive, run.state)
    assert while_held == (True, "running")
    assert (run.is_alive, run.state) == (False, "failed")


def test_asking_takes_nothing_from_a_trainer(run: RunDirectory) -> None:
    run.files.lock.touch()
    assert not run.is_alive
    with run.files.lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_result_means_finished_whatever_else_there_is(run: RunDirectory) -> None:
    run.files.result.write_text("{}")
    with run.files.lock.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert run.state == "finished"


@pytest.mark.parametrize("content", [None, "", "{", "[1]", "\xff"])
def test_half_written_files_read_as_empty(run: RunDirectory, content: str | None) -> None:
    for file in (run.files.run, run.files.state):
        file.unlink(missing_ok=True)
        if content is not None:
            file.write_bytes(content.encode("latin-1"))
    assert (run.read_run(), run.read_state()) == ({}, {})


def test_metrics_end_at_a_half_written_line(run: RunDirectory) -> None:
    assert run.read_metrics() == []
    run.files.metrics.write_text('{"step": 1}\n{"step": 2}\n{"st')
    assert run.read_metrics() == [{"step": 1}, {"step": 2}]


def test_a_created_directory_holds_its_three_documents_and_no_leftovers(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "exp" / "seed-1")
    run.create({"a": 1}, {"b": 2}, {"c": 3})
    found = {file.name: json.loads(file.read_text()) for file in run.root.iterdir()}
    age = datetime.now(UTC) - datetime.fromisoformat(found["run.json"].pop("created"))
    assert found == {"spec.json": {"a": 1}, "run.json": {"b": 2}, "preflight.json": {"c": 3}}
    assert timedelta() <= age < timedelta(minutes=1)


def test_a_folder_that_cannot_be_written_is_the_machines_fault(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MachineError, match="file"):
        RunDirectory(tmp_path / "file" / "seed-1").create({}, {}, {})


def test_only_whole_run_folders_are_runs(tmp_path: Path) -> None:
    for name in ("b-1/seed-2", "a-1/seed-10", "a-1/seed-9.1"):
        make(tmp_path / name)
    make(tmp_path / "a-1" / "seed-9-backup")
    (tmp_path / "a-1" / "seed-3").mkdir()
    assert [run.run_id for run in find_runs(tmp_path)] == ["a-1/seed-10", "a-1/seed-9.1", "b-1/seed-2"]
    assert find_runs(tmp_path / "gone") == []


def test_the_newest_run_is_the_one_that_was_started_last(tmp_path: Path) -> None:
    """Whatever the times of the files are: a copied runs folder has others."""
    assert newest_run(tmp_path) is None
    of_01 = make(tmp_path / "z-1" / "seed-1.3")
    of_01.files.run.write_text('{"run_id": "z-1/seed-1.3"}')  # pgolf 0.1 recorded no time
    for written, name in ((300, "c-1/seed-1"), (100, "b-1/seed-1"), (200, "a-1/seed-1")):
        run = make(tmp_path / name)
        os.utime(run.files.run, (written, written))
    found = newest_run(tmp_path)
    assert found is not None
    assert found.run_id == "a-1/seed-1"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for name in ("alpha-1/seed-1", "alpha-1/seed-1.1", "alpha-1/seed-13", "beta-2/seed-7"):
        make(tmp_path / name)
    return tmp_path


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("alpha-1/seed-1", "alpha-1/seed-1"),
        ("alpha-1/seed-1.1", "alpha-1/seed-1.1"),
        ("beta", "beta-2/seed-7"),
        ("seed-7", "beta-2/seed-7"),
        ("seed-13", "alpha-1/seed-13"),
    ],
)
def test_an_id_or_an_unambiguous_part_names_a_run(runs: Path, reference: str, expected: str) -> None:
    assert find_run(reference, runs).run_id == expected


def test_a_folder_names_a_run_wherever_it_is(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_run(str(runs / "beta-2" / "seed-7"), Path("nowhere")).run_id == "beta-2/seed-7"
    monkeypatch.chdir(runs / "beta-2" / "seed-7")
    assert find_run(".", Path("nowhere")).run_id == "beta-2/seed-7"


@pytest.mark.parametrize(
    ("reference", "words", "named"),
    [
        ("alpha", "more than one run matches", ["alpha-1/seed-1", "alpha-1/seed-1.1", "alpha-1/seed-13"]),
        ("seed-1", "more than one run matches", ["alpha-1/seed-1", "alpha-1/seed-1.1", "alpha-1/seed-13"]),
        ("gamma", "no such run", ["alpha-1/seed-1", "alpha-1/seed-1.1", "alpha-1/seed-13", "beta-2/seed-7"]),
    ],
)
def test_an_ambiguous_or_unknown_reference_is_answered_with_the_candidates(
    runs: Path, reference: str, words: str, named: list[str]
) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        find_run(reference, runs)
    assert str(caught.value).endswith(f"candidates: {', '.join(named)}")


def test_attempts_are_in_order_and_of_that_seed_alone(tmp_path: Path) -> None:
    for name in ("seed-1", "seed-1.2", "seed-1.10", "seed-13", "seed-1-old"):
        (tmp_path / name).mkdir()
    assert [run.root.name for run in attempts(tmp_path, 1)] == ["seed-1", "seed-1.2", "seed-1.10"]
    assert new_attempt(tmp_path, 1).root.name == "seed-1.11"
    assert new_attempt(tmp_path, 13).root.name == "seed-13.1"
    assert new_attempt(tmp_path, 2).root.name == "seed-2"


def test_lines_of_a_growing_file_come_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pgolf.rundir.time.sleep", lambda _: None)
    file = tmp_path / "train.log"
    pieces = ["", "one\ntw", "o\nthr", "ee"]

    def grow() -> Iterator[bool]:
        for index, piece in enumerate(pieces):
            with file.open("a") as log:
                log.write(piece)
            yield index < len(pieces) - 1

    assert [*follow_file(file, grow())] == ["one", "two", "three"]
