"""A run that goes on on other hardware, or that another machine has taken over."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pgolf.rundir import RunDirectory
from trainer.recipe.files import RunFiles
from trainer.recipe.reading import read_json
from trainer.recipe.writing import write_json
from trainer.resume import check_same_environment, environments_since
from trainer.runtime.claim import CHECK_SECONDS, Claim
from trainer.runtime.failure import AlreadyRunning, ResumeRefused
from trainer.runtime.journal import RunJournal

EIGHT = {
    "python": "3.11.9", "torch": "2.9.0", "device": "NVIDIA H100 80GB HBM3", "processor": "x86_64 AVX512",
    "processes": 8, "threads": 16, "fused_adamw": True, "products": "bfloat16", "attention": "flash",
}  # fmt: skip
CPU = EIGHT | {"device": "cpu", "processes": 1, "products": "float32"}


@pytest.mark.parametrize(
    "found", [{"processes": 4}, {"device": "NVIDIA A100-SXM4-80GB", "processor": "x86_64 AVX2"}, {"threads": 8}, {}]
)
def test_gpus_may_be_others(found: dict[str, Any]) -> None:
    assert check_same_environment(EIGHT | found, EIGHT) == found


@pytest.mark.parametrize(
    ("pinned", "found"),
    [
        (EIGHT, {"torch": "2.10.0"}),
        (EIGHT, {"products": "float32"}),
        (EIGHT, {"device": "cpu"}),
        (CPU, {"device": "NVIDIA H100 80GB HBM3"}),
        (CPU, {"processes": 2}),
        (CPU, {"processor": "x86_64 AVX2"}),
    ],
)
def test_bits_that_are_promised_are_kept(pinned: dict[str, Any], found: dict[str, Any]) -> None:
    ((key, now),) = found.items()
    with pytest.raises(ResumeRefused) as refused:
        check_same_environment(pinned | found, pinned)
    assert f"began with {key} {pinned[key]!r}" in str(refused.value)
    assert f"go on with {now!r}" in str(refused.value)


def test_each_other_hardware_is_kept_once_and_logged(tmp_path: Path) -> None:
    run: dict[str, Any] = {"environment": EIGHT}
    files = RunFiles(tmp_path)
    for changed in ({}, {"processes": 4}, {"processes": 4}, {"device": "NVIDIA H200"}, {}):
        run["resumed_under"] = environments_since(run, changed, RunJournal(files))
    assert run["resumed_under"] == [{"processes": 4}, {"device": "NVIDIA H200"}]
    lines = files.log.read_text().splitlines()
    assert len(lines) == 3
    assert lines[0].endswith("resumed on other hardware than this run began on: processes 8 -> 4")


def test_a_claim_of_another_machine_stops_the_trainer(tmp_path: Path) -> None:
    files = RunFiles(tmp_path)
    unclaimed = Claim(files)
    job = tmp_path / "job.json"
    job.write_text(json.dumps({"claim": "first", "pid": 1}))
    claim = Claim(files)
    job.write_text(json.dumps({"claim": "first", "pid": 2}))
    claim.check()
    job.write_text(json.dumps({"claim": "second", "pid": 1}))
    claim.check_regularly()
    with pytest.raises(AlreadyRunning, match="another machine"):
        claim.check()
    time.sleep(1.1 * CHECK_SECONDS)
    with pytest.raises(AlreadyRunning, match="another machine"):
        claim.check_regularly()
    unclaimed.check()


def test_a_claim_is_looked_at_after_the_machine_was_suspended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the two clocks only CLOCK_BOOTTIME goes on meanwhile."""
    job = tmp_path / "job.json"
    job.write_text('{"claim": "first"}')
    claim = Claim(RunFiles(tmp_path))
    job.write_text('{"claim": "second"}')
    read_clock = time.clock_gettime
    suspended = {time.CLOCK_BOOTTIME: 60.0}
    monkeypatch.setattr(time, "clock_gettime", lambda clock: read_clock(clock) + suspended.get(clock, 0.0))
    with pytest.raises(AlreadyRunning):
        claim.check_regularly()


@pytest.mark.parametrize("content", [None, "[" * 100_000, '{"claim": ' * 500 + "1" + "}" * 500, "[1]", "\udc80"])
def test_a_damaged_claim_is_none(content: str | None, tmp_path: Path) -> None:
    job = tmp_path / "job.json"
    if content is None:
        os.mkfifo(job)
    else:
        job.write_text(content, errors="surrogateescape")
    assert Claim(RunFiles(tmp_path)).own is None


def test_a_trainer_that_was_overtaken_writes_nothing_more(long_run: RunDirectory, tmp_path: Path) -> None:
    """Its supervisor is gone, or slower than the trainer."""
    root = tmp_path / "x" / "seed-1337"
    root.mkdir(parents=True)
    for name in ("spec.json", "run.json"):
        shutil.copy(long_run.root / name, root)
    run, job = RunDirectory(root), root / "job.json"
    write_json(job, {"claim": "first"})
    command = [sys.executable, "-P", "-m", "trainer", str(root)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as trainer:
        wait_for_checkpoint(run)
        os.kill(trainer.pid, signal.SIGSTOP)
        write_json(job, {"claim": "second"})
        before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
        time.sleep(1.1 * CHECK_SECONDS)
        os.kill(trainer.pid, signal.SIGCONT)
        _, said = trainer.communicate(timeout=60)
    assert trainer.returncode == 75
    assert "another machine has taken over the run" in said
    after = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert {path for path in after if after[path] != before.get(path)} <= {run.files.state}


def wait_for_checkpoint(run: RunDirectory) -> None:
    deadline = time.monotonic() + 60
    while not [*run.files.checkpoints.glob("step-*.ckpt")]:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
def test_a_checkpoint_of_two_processes_is_resumed_by_one(long_run: RunDirectory, tmp_path: Path) -> None:
    """As between GPUs. On a CPU that is refused, so the environment is made to say what it did not."""
    root = tmp_path / "x" / "seed-1337"
    root.mkdir(parents=True)
    spec, document = read_json(long_run.files.spec), long_run.read_run()
    spec["recipe"]["schedule"]["micro_batch_tokens"] = 128  # two forward passes a step
    write_json(root / "spec.json", spec)
    write_json(root / "run.json", document | {"environment": None})
    run = RunDirectory(root)
    command = [sys.executable, "-P", "-m", "trainer", str(root), "--processes"]
    with subprocess.Popen([*command, "2"], stderr=subprocess.PIPE) as trainer:
        wait_for_checkpoint(run)
        trainer.terminate()
        trainer.communicate(timeout=60)
    pinned = run.read_run()["environment"]
    assert pinned["processes"] == 2
    write_json(run.files.run, run.read_run() | {"environment": pinned | {"processes": 1}})
    subprocess.run([*command, "1"], check=True, timeout=120)
    result, expected = run.read_result(), long_run.read_result()
    assert result["resumed_from_step"] > 0
    assert result["headline"]["val_bpb"] == pytest.approx(expected["headline"]["val_bpb"], abs=2e-3)
