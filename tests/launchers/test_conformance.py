"""What every launcher must do, with real processes and the real trainer."""

import hashlib
import json
import os
import shutil
import signal
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
# Every place by `make test-all`; those that stand for the others by default.
FEW_PLACES = ["local", *(pytest.param(name, marks=pytest.mark.slow) for name in ("ssh", "modal", "slurm"))]


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

    def wait_until_nothing_is_to_be_stopped(self, run: RunDirectory) -> None:
        """Until cancelling says so: a trainer that has let its run go still has torch to unload."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self("cancel", run.run_id).code != 4:
            assert time.monotonic() < deadline, "there is always something to stop"

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


@pytest.mark.real_process
@pytest.mark.parametrize("place", FEW_PLACES, indirect=True)
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


SCRIPT = """
import hashlib, os, time
from pathlib import Path
print("seed:" + os.environ["SEED"])
print("step:0/3 val_loss:2.0 val_bpb:3.0 train_time:0ms")
for step in (1, 2, 3):
    print(f"step:{step}/3 train_loss:{2 - step / 10} train_time:{step}ms")
shard = Path(os.environ["DATA_PATH"], "fineweb_val_000000.bin").read_bytes()
Path("final_model.int8.ptz").write_bytes(hashlib.sha256(shard).digest())
print("Serialized model int8+zlib: 32 bytes")
print("final_exact val_loss:1.25 val_bpb:1.5")
time.sleep(float(os.environ.get("PAUSE", 0)))
"""


def script_spec(desk: Desk, data: Path, **variables: object) -> None:
    """Nothing; own.yaml runs a script on the place, which has its own copy of the data."""
    (desk.folder / "own.py").write_text(SCRIPT)
    env = {"DATA_PATH": "{data}", **variables}
    program = {"kind": "script", "path": "own.py", "data": str(data), "env": env}
    document = {"spec_version": 1, "name": "own", "program": program, "launch": desk.place.launch}
    (desk.folder / "own.yaml").write_text(json.dumps(document))


def test_a_script_runs_as_it_is_and_its_model_comes_home(desk: Desk, micro_data: Path) -> None:
    script_spec(desk, micro_data)
    ended = desk("run", "own.yaml", "--json", "--yes")
    assert ended.code == 0, ended.err
    run = RunDirectory(Path(ended.json["runs"][0]["run_dir"]))
    result = run.read_result()
    assert (result["logged_seed"], result["headline"]["val_bpb"], result["steps"]) == (1337, 1.5, 3)
    assert [row["step"] for row in run.read_metrics() if "train_loss" in row] == [1, 2, 3]
    shard = (micro_data / "fineweb_val_000000.bin").read_bytes()
    assert (run.files.artifact / "final_model.int8.ptz").read_bytes() == hashlib.sha256(shard).digest()
    assert result["artifact"]["total_bytes"] == 32 + len(SCRIPT)
    assert "final_exact val_loss:1.25" in run.files.log.read_text()


@pytest.mark.parametrize("place", FEW_PLACES, indirect=True)
def test_a_script_that_is_left_alone_is_cancelled(desk: Desk, micro_data: Path) -> None:
    script_spec(desk, micro_data, PAUSE=600)
    ended = desk("run", "own.yaml", "--detach", "--json", "--yes")
    assert ended.code == 0, ended.err
    run = RunDirectory(Path(ended.json["runs"][0]["run_dir"]))
    desk.wait_for_step(run, 3)
    assert desk("cancel", run.run_id).code == 0
    desk.wait_for_end(run)
    (row,) = desk("status", "--json").json["runs"]
    assert row["state"] == "stopped"


@pytest.mark.slow
def test_a_cancelled_run_goes_on_from_its_checkpoint_to_the_same_score(desk: Desk, long_run: RunDirectory) -> None:
    run = desk.start(*LONG)
    desk.wait_for_step(run, 30)
    assert desk("cancel", run.run_id).code == 0
    desk.wait_for_end(run)
    desk.wait_until_nothing_is_to_be_stopped(run)
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


def flip_low_bits(path: Path) -> None:
    """Nothing; the file has its old size, and other tokens, all of them in the vocabulary."""
    content = bytearray(path.read_bytes())
    for position in range(len(content) // 2, len(content) - 2, 64):
        content[position & ~1] ^= 1
    path.write_bytes(content)


@pytest.mark.slow
@pytest.mark.parametrize("damage", [Path.unlink, flip_low_bits], ids=["gone", "flipped"])
@pytest.mark.parametrize("split", ["train", "val"])
def test_a_shard_that_is_not_right_there_is_named_or_sent_again(
    desk: Desk, micro_run: RunDirectory, micro_data: Path, tmp_path: Path, damage: Callable[[Path], None], split: str
) -> None:
    data = tmp_path / "data"
    shutil.copytree(micro_data, data)
    own = (*SHORT, "--set", f"recipe.data={{kind: shards, folder: {data}}}")
    assert desk.run(*own).code == 0
    damage(next(desk.place.data_folder(only_run(desk.folder)).glob(f"*_{split}_*.bin")))
    ended = desk.run(*own, "--fresh")
    # What is missing is sent again at once. By ssh so is what is damaged; in a container it is found out.
    if not desk.place.has_own_data or (desk.place.name == "modal" and damage is flip_low_bits):
        assert ended.code == 5, ended.err
        assert f"fineweb_{split}_000000.bin" in ended.err
    if desk.place.has_own_data:
        ended = desk.run(*own)
        assert ended.code == 0, ended.err
        headline = ended.json["runs"][0]["result"]["headline"]
        assert headline["val_bpb"] == micro_run.read_result()["headline"]["val_bpb"]


@pytest.mark.slow
def test_another_folder_gets_a_run_of_its_own(desk: Desk, tmp_path: Path) -> None:
    """Not the result of an earlier one that has the same name there: nobody knows what code that was."""
    if not desk.place.has_own_data:
        pytest.skip("runs lie in the folder itself")
    assert desk.run(*SHORT).code == 0
    (tmp_path / "other").mkdir()
    other = Desk(tmp_path / "other", desk.place)
    assert other.run(*SHORT).code == 0
    first, second = only_run(desk.folder), only_run(other.folder)
    assert first.remote_id != second.remote_id
    assert first.files.log.read_text() != second.files.log.read_text()


@pytest.mark.slow
def test_a_runs_folder_may_be_moved(desk: Desk) -> None:
    run = desk.start(*SHORT)
    if desk.place.has_own_data:
        moved = desk.folder.rename(desk.folder.parent / "moved")
    else:  # the trainer writes into it
        desk.wait(run, lambda row: row["state"] == "finished")
        moved = desk.folder.rename(desk.folder.parent / "moved")
    desk.folder = moved
    assert desk("attach", run.run_id).code == 0
    assert only_run(moved).is_finished


@pytest.mark.slow
def test_what_finished_unseen_is_brought_home_and_not_begun_again(desk: Desk) -> None:
    run = desk.start(*SHORT)
    desk.wait(run, lambda row: row["state"] in ("unfetched", "finished"))
    before = run.files.log.read_text()
    ended = desk.run(*SHORT)
    assert ended.code == 0, ended.err
    assert run.is_finished
    assert run.files.log.read_text() == before


@pytest.mark.real_process
@pytest.mark.slow
def test_a_trainer_that_hangs_is_killed_at_the_second_asking(desk: Desk) -> None:
    run = desk.start(*LONG)
    desk.wait_for_step(run, 30)
    for pid in desk.place.trainers(run):
        os.kill(pid, signal.SIGSTOP)
    assert desk("cancel", run.run_id).code == 0
    desk("cancel", run.run_id)
    desk.wait_for_end(run)
    assert not desk.place.trainers(run)


def only_run(folder: Path) -> RunDirectory:
    """The one run below a folder, once it is there."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := [*folder.glob("runs/*/seed-*/run.json")]):
        assert time.monotonic() < deadline, "no run directory appeared"
        time.sleep(0.02)
    return RunDirectory(found[0].parent)
