"""kill -9 at any moment, then the same command: the result has the same bits."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgolf.rundir import RunDirectory
from tests.conftest import Pgolf
from trainer.recipe.processes import process_start


@pytest.fixture
def same_run(long_run: RunDirectory, tmp_path: Path) -> RunDirectory:
    """Return a fresh run directory of the same run id."""
    root = tmp_path / long_run.root.parent.name / long_run.root.name
    root.mkdir(parents=True)
    for name in ("spec.json", "run.json"):
        shutil.copy(long_run.root / name, root)
    return RunDirectory(root)


def start(run: RunDirectory) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-P", "-m", "trainer", str(run.root)]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)


def wait_until(condition: "Iterator[bool]", seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    for holds in condition:
        if holds:
            return
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def checkpoints(run: RunDirectory) -> int:
    return len([*run.files.checkpoints.glob("step-*.ckpt")])


def kill_when(run: RunDirectory, phase: str) -> None:
    """Start the run and kill it in a phase."""
    with start(run) as trainer:
        if phase == "train":
            wait_until(checkpoints(run) > 0 for _ in iter(int, 1))
        else:
            wait_until(run.read_state().get("phase") == phase for _ in iter(int, 1))
        os.killpg(trainer.pid, signal.SIGKILL)


@pytest.mark.parametrize(
    "phases",
    [
        pytest.param(("train",), marks=pytest.mark.real_process),
        pytest.param(("train", "evaluate"), marks=pytest.mark.slow),
        ("prepare", "evaluate"),
    ],
    ids=["train", "train-evaluate", "prepare-evaluate"],
)
def test_a_killed_run_ends_with_the_same_bits(
    long_run: RunDirectory, same_run: RunDirectory, phases: tuple[str, ...]
) -> None:
    for phase in phases:
        kill_when(same_run, phase)
        assert not same_run.is_finished
    with start(same_run) as trainer:
        assert trainer.wait(timeout=120) == 0
    expected, found = long_run.read_result(), same_run.read_result()
    assert found["resumed_from_step"] > 0
    assert expected["resumed_from_step"] == 0
    assert found["headline"] == expected["headline"]
    assert same_run.files.model.read_bytes() == long_run.files.model.read_bytes()
    assert same_run.files.ledger.read_bytes() == long_run.files.ledger.read_bytes()
    losses = [[row["train_loss"] for row in run.read_metrics()] for run in (long_run, same_run)]
    assert losses[0] == losses[1]


def test_a_started_run_keeps_its_threads_and_says_so(micro_run: RunDirectory, tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "x" / "seed-1337")
    run.root.mkdir(parents=True)
    shutil.copy(micro_run.files.spec, run.root)
    document = micro_run.read_run()
    begun_with = document["environment"]["threads"]
    run.files.run.write_text(json.dumps(document | {"threads": begun_with + 1}))
    with start(run) as trainer:
        assert trainer.wait(timeout=120) == 0
    assert run.read_run()["environment"]["threads"] == begun_with
    assert run.files.ledger.read_bytes() == micro_run.files.ledger.read_bytes()
    expected = f"launch.threads is {begun_with + 1}; this run began with {begun_with} threads and keeps them"
    assert expected in run.files.log.read_text()


def test_sigterm_leaves_a_checkpoint_and_says_so(same_run: RunDirectory) -> None:
    with start(same_run) as trainer:
        wait_until(same_run.read_state().get("step", 0) > 20 for _ in iter(int, 1))
        trainer.terminate()
        assert trainer.wait(timeout=10) == 130
    newest = max(int(path.stem.split("-")[1]) for path in same_run.files.checkpoints.glob("step-*.ckpt"))
    assert newest >= 20
    assert same_run.state == "stopped"


@pytest.mark.slow
def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(
    long_run: RunDirectory, same_run: RunDirectory
) -> None:
    with start(same_run) as trainer:
        wait_until(checkpoints(same_run) > 1 for _ in iter(int, 1))
        os.killpg(trainer.pid, signal.SIGKILL)
    newest = max(same_run.files.checkpoints.glob("step-*.ckpt"))
    newest.write_bytes(newest.read_bytes()[:-10])
    with start(same_run) as trainer:
        assert trainer.wait(timeout=120) == 0
    assert "is damaged; trying the one before" in same_run.files.log.read_text()
    assert same_run.read_result()["headline"] == long_run.read_result()["headline"]


def test_a_finished_run_is_not_run_again(micro_run: RunDirectory, tmp_path: Path) -> None:
    copy = RunDirectory(Path(shutil.copytree(micro_run.root, tmp_path / "x" / "seed-1337")))
    before = copy.files.result.read_bytes()
    with start(copy) as trainer:
        assert trainer.wait(timeout=60) == 0
    assert copy.files.result.read_bytes() == before
    assert copy.files.log.read_bytes() == micro_run.files.log.read_bytes()


@pytest.mark.slow
def test_what_a_killed_trainer_was_writing_is_cleared_away(same_run: RunDirectory) -> None:
    kill_when(same_run, "train")
    leftover = same_run.files.checkpoints / ".step-00000099.ckpt.12345.tmp"
    leftover.write_bytes(b"half")
    with start(same_run) as trainer:
        assert trainer.wait(timeout=120) == 0
    assert not leftover.exists()


@pytest.mark.slow
def test_the_scorer_does_not_outlive_the_trainer(same_run: RunDirectory) -> None:
    with start(same_run) as trainer:
        wait_until(same_run.read_state().get("phase") == "evaluate" for _ in iter(int, 1))
        scorer = same_run.read_state()["pid"]
        assert scorer != trainer.pid
        trainer.kill()
    wait_until(process_start(scorer) is None for _ in iter(int, 1))
    assert not same_run.files.scores.exists()


def test_a_flipped_byte_in_the_model_is_refused_before_scoring(micro_run: RunDirectory, tmp_path: Path) -> None:
    copy = RunDirectory(Path(shutil.copytree(micro_run.root, tmp_path / "x" / "seed-1337")))
    for path in (copy.files.scores, copy.files.ledger, copy.files.result):
        path.unlink()
    content = bytearray(copy.files.model.read_bytes())
    content[len(content) // 2] ^= 4
    copy.files.model.write_bytes(content)
    command = [sys.executable, "-P", "-m", "trainer", str(copy.root), "--score"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "is damaged" in ended.stderr
    assert not copy.files.scores.exists()


@pytest.mark.real_process
def test_the_score_depends_on_the_model_file_and_the_data_alone(micro_run: RunDirectory, tmp_path: Path) -> None:
    copy = RunDirectory(Path(shutil.copytree(micro_run.root, tmp_path / "x" / "seed-1337")))
    shutil.rmtree(copy.files.checkpoints)
    copy.files.scores.unlink()
    spec = json.loads(copy.files.spec.read_text())
    spec["recipe"]["evaluation"] = {"kind": "chunked", "window": 8}
    spec["recipe"]["model"]["width"] = 64
    copy.files.spec.write_text(json.dumps(spec))
    subprocess.run([sys.executable, "-P", "-m", "trainer", str(copy.root), "--score"], check=True)
    scores = json.loads(copy.files.scores.read_text())
    headline = micro_run.read_result()["headline"]
    assert {key: scores["headline"][key] for key in headline} == headline


@pytest.mark.slow
def test_an_untrained_copy_does_not_pass_for_a_language_model(pgolf: Pgolf) -> None:
    ended = pgolf("run", "quickstart", "--with", "micro", "--set", "recipe.budget.train=0", "--json")
    assert ended.code == 0, ended.err
    report = pgolf("report", "--json").json
    (group,) = report["groups"]
    assert group["mean"] > 5.0
    assert "not_learned" in [problem["rule"] for problem in group["problems"]]
