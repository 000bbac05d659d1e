"""What every launcher must do, with real processes and the real trainer."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pgolf.rundir import RunDirectory
from tests.conftest import LONG, Ended, run_pgolf
from tests.launchers.places import Place

SHORT = ("--with", "micro")
PATIENCE_SECONDS = 120


class Desk:
    """A folder of a user who works with one place."""

    def __init__(self, folder: Path, place: Place) -> None:
        self.folder, self.place = folder, place
        (folder / "place.yaml").write_text(json.dumps({"launch": place.launch}))

    def run(self, *arguments: str) -> Ended:
        """`pgolf run quickstart` on the place."""
        return run_pgolf(self.folder, "run", "quickstart", *arguments, "--with", "place.yaml", "--json")

    def __call__(self, *arguments: str) -> Ended:
        return run_pgolf(self.folder, *arguments)

    def start(self, *arguments: str) -> RunDirectory:
        """The run directory of a run that goes on by itself."""
        ended = self.run(*arguments, "--detach")
        assert ended.code == 0, ended.err
        return RunDirectory(Path(ended.json["runs"][0]["run_dir"]))

    def wait_for_step(self, run: RunDirectory, step: int) -> None:
        """Until the run has trained so many steps, as another process learns it."""
        self.wait(run, lambda row: (row["step"] or 0) >= step)

    def wait_for_end(self, run: RunDirectory) -> None:
        """Until the run is over."""
        self.wait(run, lambda row: row["state"] not in ("queued", "running"))

    def wait(self, run: RunDirectory, is_there: Callable[[dict[str, Any]], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            (row,) = self("status", "--json").json["runs"]
            if is_there(row):
                return
            assert time.monotonic() < deadline, (row, run.files.log.read_text() if run.files.log.exists() else "")
            time.sleep(0.2)


@pytest.fixture
def desk(tmp_path: Path, place: Place) -> Desk:
    folder = tmp_path / "desk"
    folder.mkdir()
    return Desk(folder, place)


def test_a_run_is_left_found_again_followed_and_fetched(desk: Desk, micro_run: RunDirectory) -> None:
    run = desk.start(*SHORT)
    log = desk("logs", run.run_id, "-f")
    assert "score: roundtrip" in log.out
    assert log.out.count("step 12/12") == 1
    assert desk("fetch", run.run_id).code == 0
    (row,) = desk("status", "--json").json["runs"]
    assert (row["state"], row["launcher"]) == ("finished", desk.place.name)
    assert run.files.model.read_bytes() == micro_run.files.model.read_bytes()
    assert run.read_result()["headline"] == micro_run.read_result()["headline"]
    assert len(run.read_metrics()) == len(micro_run.read_metrics())
    again = desk.run(*SHORT)
    assert again.json["runs"][0]["result"] == run.read_result()


@pytest.mark.slow
def test_a_cancelled_run_goes_on_from_its_checkpoint_to_the_same_score(desk: Desk, long_run: RunDirectory) -> None:
    run = desk.start(*LONG)
    desk.wait_for_step(run, 30)
    assert desk("cancel", run.run_id).code == 0
    desk.wait_for_end(run)
    assert desk("cancel", run.run_id).code == 4
    ended = desk.run(*LONG)
    assert ended.code == 0, ended.err
    assert run.read_result()["resumed_from_step"] > 0
    assert run.read_result()["headline"] == long_run.read_result()["headline"]


@pytest.mark.slow
def test_an_interrupted_run_ends_with_the_same_score(desk: Desk, long_run: RunDirectory) -> None:
    run = desk.start(*LONG)
    desk.wait_for_step(run, 30)
    desk.place.interrupt(run)
    if not desk.place.reruns_by_itself:
        desk.wait_for_end(run)
    ended = desk.run(*LONG)
    assert ended.code == 0, ended.err
    assert run.read_result()["resumed_from_step"] > 0
    assert run.read_result()["headline"] == long_run.read_result()["headline"]


@pytest.mark.slow
def test_a_lost_reply_to_submit_never_starts_a_second_run(desk: Desk) -> None:
    """The client dies before it has written the handle, and the same command is given again."""
    run = desk.start(*LONG)
    desk.wait_for_step(run, 1)
    run.handle.unlink()
    ended = desk.run(*LONG)
    assert ended.code == 0, ended.err
    assert not run.read_result()["resumed_from_step"]
    assert run.files.log.read_text().count("score: roundtrip") == 1


@pytest.mark.slow
def test_a_trainer_that_dies_is_reported_and_the_same_command_goes_on(desk: Desk, long_run: RunDirectory) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "pgolf", "run", "quickstart", *LONG, "--with", "place.yaml"],
        cwd=desk.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    run = only_run(desk.folder)
    desk.wait_for_step(run, 30)
    desk.place.crash(run)
    _, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 1, err
    assert "killed by signal 9" in err
    ended = desk.run(*LONG)
    assert ended.code == 0, ended.err
    assert run.read_result()["headline"] == long_run.read_result()["headline"]


@pytest.mark.slow
def test_a_shard_that_is_gone_there_is_named_or_sent_again(desk: Desk, micro_data: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(micro_data, data)
    own = (*SHORT, "--set", f"recipe.data={{kind: shards, folder: {data}}}")
    assert desk.run(*own).code == 0
    desk.place.damage_data(only_run(desk.folder))
    ended = desk.run(*own, "--fresh")
    if desk.place.has_own_data:
        assert ended.code == 0, ended.err
    else:
        assert ended.code == 5
        assert "fineweb_train_000000.bin" in ended.err


def only_run(folder: Path) -> RunDirectory:
    """The one run below a folder, once it is there."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := [*folder.glob("runs/*/seed-*/run.json")]):
        assert time.monotonic() < deadline, "no run directory appeared"
        time.sleep(0.02)
    return RunDirectory(found[0].parent)
