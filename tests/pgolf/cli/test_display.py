"""What commands print of numbers and logs."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pgolf.cli.display.console import in_time
from pgolf.cli.display.progress import MOST_BYTES_AT_ONCE, LineObserver, describe_state
from pgolf.rundir import RunDirectory


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, "unknown"), (0.4, "0 s"), (119.0, "119 s"), (120.0, "2 min"), (5400.0, "90 min"), (7200.0, "2.0 h"),
     (172_800.0, "48.0 h")],
)  # fmt: skip
def test_a_duration_is_shown_in_the_unit_that_reads_best(seconds: float | None, words: str) -> None:
    assert in_time(seconds) == words


def test_the_state_of_training_is_shown_with_its_units() -> None:
    state = {"phase": "train", "step": 3, "total": 9, "train_loss": 2.5, "train_bpb": 1.25, "step_seconds": 0.25}
    assert describe_state(state) == "step 3/9, loss 2.500, 1.250 bpb, 250 ms/step"
    assert describe_state(state | {"phase": "evaluate"}) == ""


def test_each_line_of_a_log_is_printed_once_and_when_it_is_complete(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RunDirectory(tmp_path / "x-12345678" / "seed-1")
    run.root.mkdir(parents=True)
    run.files.log.write_text("of an earlier attempt\n")
    observer = LineObserver()
    observer.run_started(run)
    capsys.readouterr()
    printed = []
    for part in ("", "one\ntw", "", "o\n\nthree\nfo", "ur\n"):
        with run.files.log.open("a") as log:
            log.write(part)
        observer.runs_polled()
        printed.append(capsys.readouterr().err.replace(f"{run.run_id}: ", "").splitlines())
    assert printed == [[], ["one"], [], ["two", "", "three"], ["four"]]


def test_a_long_log_is_read_in_parts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = RunDirectory(tmp_path / "x-12345678" / "seed-1")
    run.root.mkdir(parents=True)
    observer = LineObserver()
    observer.run_started(run)
    lines = [f"{number:-<60000}" for number in range(3 * MOST_BYTES_AT_ONCE // 60_000)]
    run.files.log.write_text("\n".join(lines) + "\n" + "x" * MOST_BYTES_AT_ONCE + "y")
    capsys.readouterr()
    observer.runs_polled()
    printed = capsys.readouterr().err.replace("\n", "").split(f"{run.run_id}: ")[1:]
    assert printed == [*lines, "x" * MOST_BYTES_AT_ONCE]


@pytest.mark.parametrize(
    "make",
    [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero")],
    ids=["pipe", "folder", "device"],
)
def test_a_log_that_is_no_file_is_named_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make: Callable[[Path], object]
) -> None:
    run = RunDirectory(tmp_path / "x-12345678" / "seed-1")
    run.root.mkdir(parents=True)
    make(run.files.log)
    observer = LineObserver()
    observer.run_started(run)
    capsys.readouterr()
    observer.runs_polled()
    observer.run_ended(run)
    said = " ".join(capsys.readouterr().err.split())
    assert said.count("the log cannot be read: ") == 1
    assert said.startswith(f"{run.run_id}: ")
