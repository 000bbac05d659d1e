"""The conformance suite: what every launcher must do, with real processes and the real trainer."""

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

import pytest

from pgolf.rundir import RunDirectory
from tests.conftest import LONG
from tests.launchers.user import PATIENCE_SECONDS, SHORT, User

# `make test-all` runs these on every backend, `make test` on the local one.
FEW_BACKENDS = ["local", *(pytest.param(name, marks=pytest.mark.slow) for name in ("ssh", "modal", "slurm"))]


@pytest.mark.real_process
@pytest.mark.parametrize("backend", FEW_BACKENDS, indirect=True)
def test_a_run_is_left_found_again_followed_and_fetched(user: User, micro_run: RunDirectory) -> None:
    run = user.start(*SHORT)
    log = user("logs", run.run_id, "-f")
    assert "score: roundtrip" in log.out
    assert log.out.count("step 12/12") == 1
    assert user("fetch", run.run_id).code == 0
    (row,) = user("status", "--json").json["runs"]
    assert (row["state"], row["launcher"]) == ("finished", user.backend.name)
    assert run.files.model.read_bytes() == micro_run.files.model.read_bytes()
    assert run.read_result()["headline"] == micro_run.read_result()["headline"]
    assert len(run.read_metrics()) == len(micro_run.read_metrics())
    again = user.run(*SHORT)
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


def script_spec(user: User, data: Path, **variables: object) -> None:
    """Write own.yaml, which runs a script on the backend with the data."""
    (user.folder / "own.py").write_text(SCRIPT)
    env = {"DATA_PATH": "{data}", **variables}
    program = {"kind": "script", "path": "own.py", "data": str(data), "env": env}
    document = {"spec_version": 1, "name": "own", "program": program, "launch": user.backend.launch}
    (user.folder / "own.yaml").write_text(json.dumps(document))


@pytest.mark.parametrize("backend", FEW_BACKENDS, indirect=True)
def test_a_script_runs_as_it_is_and_its_model_comes_home(user: User, micro_data: Path) -> None:
    script_spec(user, micro_data)
    ended = user("run", "own.yaml", "--json", "--yes")
    assert ended.code == 0, ended.err
    run = RunDirectory(Path(ended.json["runs"][0]["run_dir"]))
    result = run.read_result()
    assert (result["logged_seed"], result["headline"]["val_bpb"], result["steps"]) == (1337, 1.5, 3)
    assert [row["step"] for row in run.read_metrics() if "train_loss" in row] == [1, 2, 3]
    shard = (micro_data / "fineweb_val_000000.bin").read_bytes()
    assert (run.files.artifact / "final_model.int8.ptz").read_bytes() == hashlib.sha256(shard).digest()
    assert result["artifact"]["total_bytes"] == 32 + len(SCRIPT)
    assert "final_exact val_loss:1.25" in run.files.log.read_text()


@pytest.mark.parametrize("backend", FEW_BACKENDS, indirect=True)
def test_a_script_that_is_left_alone_is_cancelled(user: User, micro_data: Path) -> None:
    script_spec(user, micro_data, PAUSE=600)
    ended = user("run", "own.yaml", "--detach", "--json", "--yes")
    assert ended.code == 0, ended.err
    run = RunDirectory(Path(ended.json["runs"][0]["run_dir"]))
    user.wait_for_step(run, 3)
    assert user("cancel", run.run_id).code == 0
    user.wait_for_end(run)
    (row,) = user("status", "--json").json["runs"]
    assert row["state"] == "stopped"


@pytest.mark.slow
def test_a_cancelled_run_goes_on_from_its_checkpoint_to_the_same_score(user: User, long_run: RunDirectory) -> None:
    run = user.start(*LONG)
    user.wait_for_step(run, 30)
    assert user("cancel", run.run_id).code == 0
    user.wait_for_end(run)
    user.wait_until_cancel_finds_nothing(run)
    ended = user.run(*LONG)
    assert ended.code == 0, ended.err
    assert run.read_result()["resumed_from_step"] > 0
    assert run.read_result()["headline"] == long_run.read_result()["headline"]


@pytest.mark.slow
def test_an_interrupted_run_ends_with_the_same_score(user: User, long_run: RunDirectory) -> None:
    run = user.start(*LONG)
    user.wait_for_step(run, 30)
    user.backend.interrupt(run)
    if not user.backend.reruns_by_itself:
        user.wait_for_end(run)
    ended = user.run(*LONG)
    assert ended.code == 0, ended.err
    assert run.read_result()["resumed_from_step"] > 0
    assert run.read_result()["headline"] == long_run.read_result()["headline"]


@pytest.mark.slow
def test_a_lost_reply_to_submit_never_starts_a_second_run(user: User) -> None:
    """The client dies before it has written the job's number, and the same command is given again."""
    run = user.start(*LONG)
    user.wait_for_step(run, 1)
    run.handle.unlink()
    ended = user.run(*LONG)
    assert ended.code == 0, ended.err
    assert not run.read_result()["resumed_from_step"]
    assert run.files.log.read_text().count("score: roundtrip") == 1


@pytest.mark.slow
def test_a_trainer_that_dies_is_reported_and_the_same_command_goes_on(user: User, long_run: RunDirectory) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "pgolf", "run", "quickstart", *LONG, "--with", "backend.yaml"],
        cwd=user.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    run = only_run(user.folder)
    user.wait_for_step(run, 30)
    user.backend.crash(run)
    _, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 1, err
    assert "killed by signal 9" in err
    ended = user.run(*LONG)
    assert ended.code == 0, ended.err
    assert run.read_result()["headline"] == long_run.read_result()["headline"]


def flip_low_bits(path: Path) -> None:
    """Change tokens of a shard. All stay in the vocabulary, and the size stays the same."""
    content = bytearray(path.read_bytes())
    for position in range(len(content) // 2, len(content) - 2, 64):
        content[position & ~1] ^= 1
    path.write_bytes(content)


@pytest.mark.slow
@pytest.mark.parametrize("damage", [Path.unlink, flip_low_bits], ids=["gone", "flipped"])
@pytest.mark.parametrize("split", ["train", "val"])
def test_a_shard_that_is_not_right_there_is_named_or_sent_again(
    user: User,
    micro_run: RunDirectory,
    micro_data: Path,
    tmp_path: Path,
    damage: Callable[[Path], None],
    split: str,
) -> None:
    data = tmp_path / "data"
    shutil.copytree(micro_data, data)
    own = (*SHORT, "--set", f"recipe.data={{kind: shards, folder: {data}}}")
    assert user.run(*own).code == 0
    damage(next(user.backend.data_folder(only_run(user.folder)).glob(f"*_{split}_*.bin")))
    ended = user.run(*own, "--fresh")
    # A missing shard is sent again at once; by ssh a damaged one too. In a container the damage is found first.
    if not user.backend.has_own_data or (user.backend.name == "modal" and damage is flip_low_bits):
        assert ended.code == 5, ended.err
        assert f"fineweb_{split}_000000.bin" in ended.err
    if user.backend.has_own_data:
        ended = user.run(*own)
        assert ended.code == 0, ended.err
        headline = ended.json["runs"][0]["result"]["headline"]
        assert headline["val_bpb"] == micro_run.read_result()["headline"]["val_bpb"]


@pytest.mark.slow
def test_another_folder_gets_a_run_of_its_own(user: User, tmp_path: Path) -> None:
    """A run with the same id from another folder is not reused: it may have run other code."""
    if not user.backend.has_own_data:
        pytest.skip("runs lie in the folder itself")
    assert user.run(*SHORT).code == 0
    (tmp_path / "other").mkdir()
    other = User(tmp_path / "other", user.backend)
    assert other.run(*SHORT).code == 0
    first, second = only_run(user.folder), only_run(other.folder)
    assert first.remote_id != second.remote_id
    assert first.files.log.read_text() != second.files.log.read_text()


@pytest.mark.slow
def test_a_runs_folder_may_be_moved(user: User) -> None:
    run = user.start(*SHORT)
    if user.backend.has_own_data:
        moved = user.folder.rename(user.folder.parent / "moved")
    else:  # the trainer writes into it
        user.wait(run, lambda row: row["state"] == "finished")
        moved = user.folder.rename(user.folder.parent / "moved")
    user.folder = moved
    assert user("attach", run.run_id).code == 0
    assert only_run(moved).is_finished


@pytest.mark.slow
def test_what_finished_unseen_is_brought_home_and_not_begun_again(user: User) -> None:
    run = user.start(*SHORT)
    user.wait(run, lambda row: row["state"] in ("unfetched", "finished"))
    before = run.files.log.read_text()
    ended = user.run(*SHORT)
    assert ended.code == 0, ended.err
    assert run.is_finished
    assert run.files.log.read_text() == before


@pytest.mark.real_process
@pytest.mark.slow
def test_a_trainer_that_hangs_is_killed_at_the_second_asking(user: User) -> None:
    run = user.start(*LONG)
    user.wait_for_step(run, 30)
    for pid in user.backend.trainers(run):
        os.kill(pid, signal.SIGSTOP)
    assert user("cancel", run.run_id).code == 0
    user("cancel", run.run_id)
    user.wait_for_end(run)
    assert not user.backend.trainers(run)


def only_run(folder: Path) -> RunDirectory:
    """Wait for the only run below a folder and return it."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := [*folder.glob("runs/*/seed-*/run.json")]):
        assert time.monotonic() < deadline, "no run directory appeared"
        time.sleep(0.02)
    return RunDirectory(found[0].parent)
