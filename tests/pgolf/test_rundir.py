"""The state of a run as the files of its directory describe it."""

import contextlib
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pgolf.errors import MachineError, RunDamaged, UsageError
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
from tests.pgolf.documents import run_json


def make(root: Path) -> RunDirectory:
    """Create a run directory."""
    run = RunDirectory(root)
    run.create({"name": "x"}, run_json(run_id=run.run_id), {})
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


DAMAGES = {
    "nothing": b"",
    "half an object": b"{",
    "a list": b"[1]",
    "latin-1": b'{"phase": "\xff"}',
    "a number that is none": b'{"phase": NaN}',
    "a key twice": b'{"phase": "train", "phase": "finished"}',
    "half a character": b'{"phase": "\\ud800"}',
    "deep": b'{"phase": ' + b"[" * 100 + b"]" * 100 + b"}",
    "deeper than the parser": b"[" * 100_000,
    "another type": b'{"phase": 1}',
}


@pytest.mark.parametrize("content", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_state_counts_as_none_and_damaged_documents_are_named(run: RunDirectory, content: bytes) -> None:
    assert (run.read_state(), run.read_handle()) == ({}, {})
    for file in (run.files.state, run.files.run, run.handle, run.files.result, run.files.spec):
        file.write_bytes(content)
    assert run.read_state() == {}
    readers = {run.files.run: run.read_run, run.handle: run.read_handle, run.files.result: run.read_result}
    for file, read in readers.items():
        with pytest.raises(RunDamaged, match=f"{file}: .*--fresh"):
            read()


@pytest.mark.parametrize("kind", ["fifo", "folder", "socket", "/dev/zero", "/dev/null"])
def test_what_is_no_regular_file_is_refused_at_once(run: RunDirectory, kind: str) -> None:
    """Opening a FIFO waits for a writer, and /dev/zero has no end."""
    run.files.run.unlink()
    place_of(run.files.run, kind)
    with pytest.raises(RunDamaged, match=r"run.json"):
        run.read_run()
    place_of(run.files.metrics, kind)
    with pytest.raises(RunDamaged, match=r"metrics.jsonl"):
        run.read_metrics()
    if kind != "folder":
        place_of(run.files.log, kind)
        with pytest.raises(RunDamaged, match=r"train.log"):
            list(follow_file(run.files.log, iter([False])))


def place_of(path: Path, kind: str) -> None:
    """Make something other than a regular file."""
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "socket":
            with socket.socket(socket.AF_UNIX) as server, contextlib.chdir(path.parent):
                server.bind(path.name)  # an address has at most 107 bytes
        case _:
            path.symlink_to(kind)


def test_a_file_that_is_too_large_is_not_read(run: RunDirectory) -> None:
    with run.files.run.open("wb") as file:
        file.truncate(2**40)  # takes no room on the disk
    with pytest.raises(RunDamaged, match=r"run.json: found more than 16,000,000 bytes"):
        run.read_run()


def test_metrics_end_at_a_half_written_line(run: RunDirectory) -> None:
    assert run.read_metrics() == []
    rows = [{"step": step, "elapsed_seconds": 0.5 * step} for step in (1, 2)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    for end in ("", '{"st', '{"step": 3, "elapsed_seconds": 1.5}'):
        run.files.metrics.write_text(text + end)
        whole = [] if end != '{"step": 3, "elapsed_seconds": 1.5}' else [json.loads(end)]
        assert run.read_metrics() == rows + whole


def test_a_damaged_line_of_the_metrics_is_named(run: RunDirectory) -> None:
    run.files.metrics.write_text('{"step": 1, "elapsed_seconds": 1}\n{"step": "two", "elapsed_seconds": 1}\n')
    with pytest.raises(RunDamaged, match=r"metrics.jsonl:2: step: expected a whole number, found 'two'"):
        run.read_metrics()


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
