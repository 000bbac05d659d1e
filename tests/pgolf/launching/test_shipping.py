"""What is fetched replaces the files of a run, or nothing says that it was."""

import json
import shutil
from pathlib import Path

import pytest

from pgolf.errors import MachineError
from pgolf.launching.handles import create_handle, read_handle
from pgolf.launching.shipping import fetching
from pgolf.rundir import RunDirectory
from tests.pgolf.documents import run_json

ENVIRONMENT = {"torch": "2.9", "device": "cpu"}
RUN = run_json(data_folder="here")


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """Return a run that was launched elsewhere."""
    run = RunDirectory(tmp_path / "x-12345678" / "seed-1")
    run.root.mkdir(parents=True)
    run.files.run.write_text(json.dumps(RUN))
    run.files.spec.write_text("{}")
    return run


def write_fetched(folder: Path) -> None:
    """Write what a finished run leaves on the other machine."""
    documents = {
        "result.json": RUN,
        "run.json": RUN | {"data_folder": "there", "environment": ENVIRONMENT},
        "spec.json": {"seed": 7},
    }
    for name, document in documents.items():
        (folder / name).write_text(json.dumps(document))
    (folder / "artifact").mkdir()
    (folder / "artifact" / "model.bin").write_bytes(b"weights")
    (folder / "train.log").write_text("step 1\n")


def test_fetched_files_replace_those_of_the_run_except_spec_and_identity(run: RunDirectory) -> None:
    with fetching(run) as folder:
        write_fetched(folder)
    assert run.files.model.read_bytes() == b"weights"
    assert run.files.log.read_text() == "step 1\n"
    assert run.files.spec.read_text() == "{}"
    assert run.read_run() == RUN | {"environment": ENVIRONMENT}
    assert run.is_finished
    assert not [*run.root.glob(".fetched-*")]


def test_a_fetch_that_fails_halfway_leaves_no_result(run: RunDirectory) -> None:
    run.files.log.mkdir()  # so that the log cannot be replaced
    with pytest.raises(MachineError), fetching(run) as folder:
        write_fetched(folder)
    assert not run.is_finished


def test_the_handle_of_a_moved_run_names_its_new_place(run: RunDirectory, tmp_path: Path) -> None:
    create_handle("ssh", run, pid=7)
    moved = RunDirectory(Path(shutil.move(run.root, tmp_path / "seed-1")))
    assert read_handle(moved) == {"launcher": "ssh", "run_dir": str(moved.root), "pid": 7}
