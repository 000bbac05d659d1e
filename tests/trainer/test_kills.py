"""kill -9 in the midst of each kind of write and at fifty random moments: the same command ends with the same bits."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from pgolf.rundir import RunDirectory
from tests.conftest import shared_run
from trainer.recipe.processes import process_start

PHASES = ["none", "prepare", "train", "quantize", "encode", "decode", "evaluate", "finished"]
WRITES = [
    ("step-", "before"), ("step-", "within"), ("train.log", "line"), ("metrics.jsonl", "line"), ("run.json", "within"),
    ("prequant", "within"), ("model.bin", "within"), ("model.bin", "after"), ("bytes.json", "before"),
    ("state.json", "within"), ("result.json", "within"), ("result.json", "before"), ("result.json", "after"),
]  # fmt: skip
FEW_WRITES = [("step-", "within"), ("model.bin", "after"), ("result.json", "before")]
SCORER_WRITES = [("ledger.npz", "within"), ("scores.json", "before"), ("state.json", "before")]


@pytest.fixture
def same_run(long_run: RunDirectory, tmp_path: Path) -> RunDirectory:
    return begin_again(long_run, tmp_path / "again")


def begin_again(like: RunDirectory, folder: Path) -> RunDirectory:
    """Return a fresh run directory of the same run id."""
    root = folder / like.root.parent.name / like.root.name
    root.mkdir(parents=True)
    for name in ("spec.json", "run.json"):
        shutil.copy(like.root / name, root)
    return RunDirectory(root)


def check_same_bits(run: RunDirectory, steady: RunDirectory) -> None:
    expected, found = steady.read_result(), run.read_result()
    assert found["headline"] == expected["headline"]
    assert found["steps"] == expected["steps"]
    assert run.files.model.read_bytes() == steady.files.model.read_bytes()
    assert run.files.ledger.read_bytes() == steady.files.ledger.read_bytes()
    losses = [[(row["step"], row["train_loss"]) for row in each.read_metrics()] for each in (steady, run)]
    assert losses[0] == losses[1]
    assert not [*run.root.rglob(".*.tmp")]


@pytest.mark.parametrize("writes", [FEW_WRITES, pytest.param(WRITES, marks=pytest.mark.slow)], ids=["few", "all"])
def test_a_kill_within_each_kind_of_write_loses_nothing(
    long_run: RunDirectory, same_run: RunDirectory, writes: list[tuple[str, str]]
) -> None:
    for name, moment in writes:
        command = [sys.executable, "-m", "tests.trainer.deadly", name, moment, str(same_run.root)]
        ended = subprocess.run(command, capture_output=True, check=False, timeout=120)
        assert ended.returncode == -signal.SIGKILL, (name, moment, ended.stderr)
        for path in (same_run.files.spec, same_run.files.run, same_run.files.state, same_run.files.result):
            assert not path.exists() or json.loads(path.read_text()), (name, moment)
        if name == "model.bin" and moment == "after":
            kill_the_scorer(same_run)
    if not same_run.is_finished:
        subprocess.run([sys.executable, "-P", "-m", "trainer", str(same_run.root)], check=True, timeout=120)
    check_same_bits(same_run, long_run)


# A loop, QAT and SWA; EMA and candidates. Each is killed where checkpoints, averages and kept weights are written.
PUBLISHED = {
    "pr1579_crawler_d736": (),
    "pr576_int5_gptq_corrected": (),
    "pr549_leaky_ttt": ("--set", "recipe.averaging={kind: ema, decay: 0.9}"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_a_killed_published_run_ends_with_the_same_bits(
    session_folder: Path, own_cache: None, tmp_path: Path, name: str
) -> None:
    options = ("--with", "micro", *PUBLISHED[name])
    steady = shared_run(session_folder / f"{name}-micro", *options, spec=name)
    run = begin_again(steady, tmp_path)
    for kill in (("step-", "after"), ("prequant.ckpt", "before"), ("model.bin", "within")):
        command = [sys.executable, "-m", "tests.trainer.deadly", *kill, str(run.root)]
        ended = subprocess.run(command, capture_output=True, check=False, timeout=120)
        assert ended.returncode == -signal.SIGKILL, (kill, ended.stderr)
    subprocess.run([sys.executable, "-P", "-m", "trainer", str(run.root)], check=True, timeout=120)
    assert run.read_result()["resumed_from_step"] > 0
    check_same_bits(run, steady)


def kill_the_scorer(run: RunDirectory) -> None:
    """Kill a scorer within each of its writes, and check that each file is whole or absent."""
    for name, moment in SCORER_WRITES:
        command = [sys.executable, "-m", "tests.trainer.deadly", name, moment, str(run.root), "--score"]
        assert subprocess.run(command, capture_output=True, check=False, timeout=120).returncode == -signal.SIGKILL
    assert not run.files.scores.exists()


def start(run: RunDirectory) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-P", "-m", "trainer", str(run.root)]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)


@pytest.mark.slow
def test_a_scorer_whose_trainer_was_killed_ends_and_writes_no_state(long_run: RunDirectory, tmp_path: Path) -> None:
    """Another trainer may be at work by then, and state.json be its own."""
    run = begin_again(long_run, tmp_path)
    with start(run) as trainer:
        while (scorer := run.read_state().get("pid", trainer.pid)) == trainer.pid:
            time.sleep(0.002)
        os.kill(scorer, signal.SIGSTOP)
        trainer.kill()
    before = run.read_state()
    os.kill(scorer, signal.SIGCONT)
    deadline = time.monotonic() + 30
    while process_start(scorer) is not None:
        assert time.monotonic() < deadline, "the scorer did not end"
        time.sleep(0.02)
    assert before["phase"] in ("decode", "evaluate")
    assert run.read_state() == before


def kill_in(phase: str, seconds: float, run: RunDirectory) -> int:
    """Return the exit code of a trainer that is killed, with its scorer, so long after it has come to a phase."""
    began = time.time_ns()
    with start(run) as trainer:
        while trainer.poll() is None and phase != "none" and not has_come_to(phase, run, began):
            time.sleep(0.005)
        time.sleep(seconds)
        with suppress(ProcessLookupError):  # it may have ended by itself
            os.killpg(trainer.pid, signal.SIGKILL)
        return trainer.wait()


def has_come_to(phase: str, run: RunDirectory, began: int) -> bool:
    """Return whether a trainer started at `began` has reported this phase or a later one."""
    if not run.files.state.exists() or run.files.state.stat().st_mtime_ns < began:
        return False
    said = run.read_state().get("phase")
    return said in PHASES[PHASES.index(phase) :]


@pytest.mark.parametrize("wanted", [3, pytest.param(50, marks=pytest.mark.slow)])
def test_kills_at_random_moments_lose_nothing(long_run: RunDirectory, tmp_path: Path, wanted: int) -> None:
    chance = random.Random(50)
    run, kills, finished = begin_again(long_run, tmp_path / "0"), 0, 0
    died_in: set[str] = set()
    while kills < wanted:
        phase = chance.choice(["none", "prepare", "train", "train", "quantize", "decode", "evaluate"])
        code = kill_in(phase, chance.choice([0.01, 0.05, 0.1, 0.3]) * chance.random(), run)
        assert code in (0, -signal.SIGKILL), run.files.log.read_text() if run.files.log.exists() else code
        if code:
            kills += 1
            died_in.add(run.read_state().get("phase", "none"))
        if run.is_finished:
            check_same_bits(run, long_run)
            finished += 1
            run = begin_again(long_run, tmp_path / str(finished))
    with start(run) as trainer:
        assert trainer.wait(timeout=120) == 0
    check_same_bits(run, long_run)
    assert wanted < 50 or died_in >= {"prepare", "train", "evaluate"}
