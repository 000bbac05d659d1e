"""Metrics after a crash."""

from pathlib import Path

import pytest

from trainer.recipe.files import RunFiles
from trainer.runtime.journal import RunJournal


def test_rows_of_steps_that_run_again_and_a_half_line_are_dropped(tmp_path: Path) -> None:
    journal = RunJournal(RunFiles(tmp_path))
    for step in (1, 2, 3, 4):
        journal.record({"step": step, "train_loss": 1.0 / step})
    with journal.files.metrics.open("a") as metrics:
        metrics.write('{"step": 5, "tra')
    journal.truncate_after(2)
    assert journal.files.metrics.read_text() == '{"step": 1, "train_loss": 1.0}\n{"step": 2, "train_loss": 0.5}\n'


def test_a_full_disk_names_the_file(tmp_path: Path) -> None:
    journal = RunJournal(RunFiles(tmp_path))
    journal.files.metrics.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as caught:
        journal.record({"step": 1})
    assert caught.value.filename == str(journal.files.metrics)
