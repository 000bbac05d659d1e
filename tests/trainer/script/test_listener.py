"""What a script's output and files become in its run directory, after an earlier attempt too."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from trainer.recipe.files import RunFiles
from trainer.runtime.journal import RunJournal
from trainer.script.artifact_files import find_artifact_files
from trainer.script.listener import LogListener


def rows_after(folder: Path, *lines: str) -> list[dict[str, Any]]:
    """Return metrics.jsonl once a new attempt has printed some lines; the earlier one logged steps 0 to 5."""
    files = RunFiles(folder)
    files.metrics.write_text("".join(json.dumps({"step": step, "of": "earlier"}) + "\n" for step in range(6)))
    listener = LogListener(files, RunJournal(files), None)
    for line in lines:
        listener.follow_line(line)
    assert files.log.read_text().splitlines() == [*lines]
    return [json.loads(line) for line in files.metrics.read_text().splitlines()]


def test_a_step_is_recorded_with_its_tokens_seconds_and_bits(tmp_path: Path) -> None:
    lines = ["train_batch_tokens:100", "step:3/9 val_loss:2.0 val_bpb:3.0 train_time:30ms"]
    *earlier, validated, trained = rows_after(tmp_path, *lines, "step:4/9 train_loss:1.0 train_time:45ms")
    assert [row["step"] for row in earlier] == [0, 1, 2]
    assert validated == {"step": 3, "elapsed_seconds": 0.03, "tokens": 300, "val_loss": 2.0, "val_bpb": 3.0}
    assert trained == {"step": 4, "elapsed_seconds": 0.045, "tokens": 400, "train_loss": 1.0, "train_bpb": 1.5}


@pytest.mark.parametrize("step", [0, 4])
def test_a_step_that_an_earlier_attempt_logged_is_replaced(tmp_path: Path, step: int) -> None:
    rows = rows_after(tmp_path, f"step:{step}/9 train_loss:2.0 train_time:10ms")
    assert [row["step"] for row in rows] == [*range(step + 1)]
    assert ["of" in row for row in rows] == [True] * step + [False]


def test_a_model_that_an_earlier_attempt_left_is_not_counted(tmp_path: Path) -> None:
    for name, written_at in (("old.ptz", 1000.0), ("during.ptz", 1002.5), ("after.ptz", 1010.0), ("log.txt", 1010.0)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (written_at, written_at))
    found = find_artifact_files(tmp_path, ["*.ptz", "d*"], since=1003.0)
    assert [path.name for path in found] == ["after.ptz", "during.ptz"]
