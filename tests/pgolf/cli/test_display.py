"""What commands print of numbers and logs."""

from pathlib import Path

import pytest

from pgolf.cli.display.console import in_time
from pgolf.cli.display.progress import LineObserver, describe_state
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
