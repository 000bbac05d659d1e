"""Two processes give the same run as one; if one of them dies, the run ends with its reason."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pgolf.rundir import RunDirectory
from tests.conftest import Pgolf
from tests.pgolf.data.builders import prepared, sentences
from trainer.recipe.processes import process_start
from trainer.recipe.reading import read_json
from trainer.recipe.writing import write_json
from trainer.runtime.checkpoint import read_checkpoint

STEPS = 8


@pytest.fixture
def job(micro_run: RunDirectory, tmp_path: Path) -> RunDirectory:
    """Return a fresh run whose steps have two forward passes."""
    return prepare(micro_run, tmp_path / "job" / "seed-1337", STEPS)


def prepare(like: RunDirectory, root: Path, steps: int) -> RunDirectory:
    """Create a run on a few hundred sentences, so that training takes longer than scoring."""
    data = root.parent.parent / "data"
    if not data.exists():
        prepared(data, sentences(400), pieces=384)
    root.mkdir(parents=True)
    spec, run = read_json(like.files.spec), read_json(like.files.run)
    spec["recipe"]["schedule"] |= {"micro_batch_tokens": 128, "loader": {"kind": "shuffled_windows"}}
    spec["recipe"]["budget"]["train"] = float(steps)
    spec["recipe"]["optimizer"]["momentum"]["warmup_steps"] = 4
    write_json(root / "spec.json", spec)
    write_json(root / "run.json", run | {"environment": None, "data_folder": str(data)})
    return RunDirectory(root)


def start(run: RunDirectory, processes: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-P", "-m", "trainer", str(run.root), "--processes", str(processes)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)


def carry_out(run: RunDirectory, processes: int) -> None:
    with start(run, processes) as trainer:
        _, err = trainer.communicate(timeout=120)
        assert trainer.returncode == 0, err


def wait_for_step(run: RunDirectory, step: int) -> None:
    deadline = time.monotonic() + 60
    while run.read_state().get("step", 0) < step:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def worker_of(rank_zero: int) -> int:
    """Return the pid of rank 1 of a run."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                arguments = (entry / "cmdline").read_bytes().split(b"\0")
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if parent == rank_zero and b"--rank" in arguments:
                return int(entry.name)
    raise AssertionError("there is no worker")


def test_two_processes_train_and_score_as_one(job: RunDirectory, micro_run: RunDirectory, tmp_path: Path) -> None:
    alone = prepare(micro_run, tmp_path / "alone" / "seed-1337", STEPS)
    carry_out(alone, 1)
    carry_out(job, 2)
    for key in ("weights", "average"):
        states: list[Any] = [read_checkpoint(run.files.checkpoints / f"step-{STEPS:08d}.ckpt") for run in (alone, job)]
        for name, expected in states[0][key].items():
            np.testing.assert_allclose(states[1][key][name], expected, atol=1e-6, rtol=0, err_msg=name)
    losses = [[row["train_loss"] for row in run.read_metrics()] for run in (alone, job)]
    assert losses[1] == pytest.approx(losses[0], abs=1e-6)
    assert len(losses[1]) == STEPS
    ledgers = [np.load(run.files.ledger) for run in (alone, job)]
    np.testing.assert_allclose(ledgers[1]["nll"], ledgers[0]["nll"], atol=2e-2)  # a rounding flips a quantized weight
    results = [run.read_result() for run in (alone, job)]
    assert results[1]["headline"]["val_bpb"] == pytest.approx(results[0]["headline"]["val_bpb"], abs=1e-4)
    assert results[1]["metrics"][0]["val_bpb"] == pytest.approx(results[0]["metrics"][0]["val_bpb"], abs=1e-6)
    assert results[1]["environment"]["processes"] == 2
    assert not [*job.root.glob("rank-*")]


def test_the_same_model_scores_the_same_however_many_score_it(micro_run: RunDirectory, tmp_path: Path) -> None:
    copy = RunDirectory(Path(shutil.copytree(micro_run.root, tmp_path / "x" / "seed-1337")))
    copy.files.scores.unlink()
    subprocess.run(
        [sys.executable, "-P", "-m", "trainer", str(copy.root), "--score", "--processes", "3"], check=True, timeout=120
    )
    scores, expected = json.loads(copy.files.scores.read_text()), json.loads(micro_run.files.scores.read_text())
    for found, metric in zip(scores["metrics"], expected["metrics"], strict=True):
        assert found | {"seconds": 0} == metric | {"seconds": 0}
    assert copy.files.ledger.read_bytes() == micro_run.files.ledger.read_bytes()


@pytest.mark.real_process
@pytest.mark.slow
def test_a_worker_that_is_killed_ends_the_run_with_its_reason(micro_run: RunDirectory, tmp_path: Path) -> None:
    run = prepare(micro_run, tmp_path / "long" / "seed-1337", 3_000)
    with start(run, 2) as trainer:
        wait_for_step(run, 5)
        os.kill(worker_of(trainer.pid), signal.SIGKILL)
        began = time.monotonic()
        _, err = trainer.communicate(timeout=30)
    assert time.monotonic() - began < 15
    assert trainer.returncode == 1
    assert "process 1 of 2: killed by signal 9" in err
    assert run.state == "failed"
    assert "process 1 of 2" in run.read_state()["error"]


@pytest.mark.real_process
@pytest.mark.slow
def test_a_worker_that_is_stuck_is_no_reason_to_hang_when_another_has_died(
    micro_run: RunDirectory, tmp_path: Path
) -> None:
    run = prepare(micro_run, tmp_path / "long" / "seed-1337", 3_000)
    with start(run, 2) as trainer:
        wait_for_step(run, 5)
        worker = worker_of(trainer.pid)
        os.kill(worker, signal.SIGSTOP)  # rank 0 now waits in a collective operation
        time.sleep(1)
        os.kill(worker, signal.SIGKILL)
        assert trainer.wait(timeout=30) == 1
    assert "process 1 of 2" in run.read_state()["error"]


@pytest.mark.real_process
@pytest.mark.slow
def test_no_worker_outlives_rank_zero(micro_run: RunDirectory, tmp_path: Path) -> None:
    run = prepare(micro_run, tmp_path / "long" / "seed-1337", 3_000)
    with start(run, 2) as trainer:
        wait_for_step(run, 5)
        worker = worker_of(trainer.pid)
        trainer.kill()
    deadline = time.monotonic() + 20
    while process_start(worker) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
def test_a_stop_reaches_all_processes_and_the_run_goes_on_to_the_same_bits(
    micro_run: RunDirectory, tmp_path: Path
) -> None:
    steady, stopped = (prepare(micro_run, tmp_path / name / "seed-1337", 40) for name in ("steady", "stopped"))
    carry_out(steady, 2)
    with start(stopped, 2) as trainer:
        wait_for_step(stopped, 5)
        trainer.terminate()
        assert trainer.wait(timeout=10) == 130
    assert stopped.state == "stopped"
    carry_out(stopped, 2)
    assert stopped.read_result()["resumed_from_step"] >= 5
    assert stopped.files.model.read_bytes() == steady.files.model.read_bytes()
    assert stopped.files.ledger.read_bytes() == steady.files.ledger.read_bytes()


def test_another_number_of_processes_is_refused_by_name(job: RunDirectory) -> None:
    write_json(job.files.run, read_json(job.files.run) | {"environment": {"device": "cpu", "processes": 1}})
    with start(job, 2) as trainer:
        assert trainer.wait(timeout=60) == 2
    assert "began with processes 1 and would go on with 2" in job.read_state()["error"]


BROKEN_WORKER = """
import os, sys
if "--rank" in sys.orig_argv:
    def broken(pid):
        raise OSError(28, "No space left on device", "the disk of rank 1")
    os.sched_getaffinity = broken
"""


@pytest.mark.slow
def test_a_worker_says_in_its_own_words_why_it_ended(
    job: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(BROKEN_WORKER)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'site'}:{os.environ.get('PYTHONPATH', '')}")
    with start(job, 2) as trainer:
        _, err = trainer.communicate(timeout=60)
    assert trainer.returncode == 6, err
    assert job.read_state()["error"] == "process 1 of 2: the disk of rank 1: No space left on device"


@pytest.mark.real_process
@pytest.mark.slow
def test_rank_zero_stops_within_a_long_step_and_the_others_with_it(micro_run: RunDirectory, tmp_path: Path) -> None:
    run = prepare(micro_run, tmp_path / "long" / "seed-1337", 10)
    spec = read_json(run.files.spec)
    spec["recipe"]["schedule"] |= {"batch_tokens": 1 << 20}
    write_json(run.files.spec, spec)
    with start(run, 2) as trainer:
        deadline = time.monotonic() + 60
        while run.read_state().get("phase") != "train":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        worker = worker_of(trainer.pid)
        time.sleep(1)  # a step has 4,096 forward passes a process
        trainer.terminate()
        assert trainer.wait(timeout=10) == 130
    assert [path.name for path in run.files.checkpoints.iterdir()] == ["step-00000000.ckpt"]
    while process_start(worker) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert "Traceback" not in run.files.log.read_text() if run.files.log.exists() else True


@pytest.mark.slow
@pytest.mark.real_process
def test_a_scoring_worker_that_is_stopped_alone_ends_the_run_with_its_reason(
    micro_run: RunDirectory, tmp_path: Path
) -> None:
    copy = RunDirectory(Path(shutil.copytree(micro_run.root, tmp_path / "x" / "seed-1337")))
    copy.files.scores.unlink()
    command = [sys.executable, "-P", "-m", "trainer", str(copy.root), "--score", "--processes", "2"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as scorer:
        deadline = time.monotonic() + 60
        while copy.read_state().get("phase") != "evaluate":
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.kill(worker_of(scorer.pid), signal.SIGKILL)
        _, err = scorer.communicate(timeout=30)
    assert scorer.returncode == 1
    assert "process 1 of 2: killed by signal 9" in copy.read_state()["error"], err


def test_processes_that_cannot_share_a_step_are_refused_before_the_run(pgolf: Pgolf, tmp_path: Path) -> None:
    ended = pgolf("run", "quickstart", "--with", "micro", "--set", "launch.processes=2")
    assert ended.code == 3
    assert "micro_batch_tokens=128" in " ".join(ended.err.split())
    assert not [*tmp_path.glob("runs/*/seed-*")]
