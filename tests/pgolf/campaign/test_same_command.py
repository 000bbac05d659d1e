"""kill -9 of a command and all its group, then the same command at once: exit code 0 and the bits of a quiet run."""

import hashlib
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pgolf.launching import read_handle
from pgolf.rundir import RunDirectory
from tests.conftest import LONG, Ended, run_pgolf
from trainer.runtime.stop import GRACE_SECONDS

PHASES = ["none", "prepare", "train", "calibrate", "quantize", "encode", "decode", "evaluate", "finished"]
# After which phase a command is killed, and at most how many seconds (or steps, for "train") later.
MOMENTS = {"train": 1.0, "none": 1.5, "evaluate": 0.1, "prepare": 0.3, "encode": 0.02, "quantize": 0.02, "decode": 0.1}

# A step takes as long as on a busy machine or with a real model, and no CPU.
SLEEPY = """
import time

import torch
import torch.nn.functional as F
from torch import nn

from trainer.model.linear import linear
from trainer.model.mlp import Mlp


class Sleepy(Mlp):
    def __init__(self, width, hidden_width, seconds):
        super().__init__()
        self.seconds = seconds
        self.up = nn.Parameter(torch.empty(hidden_width, width))
        self.down = nn.Parameter(torch.zeros(width, hidden_width))

    def readers(self):
        return [self.up]

    def forward(self, x, scale):
        if torch.is_grad_enabled():
            time.sleep(self.seconds)
        return linear(F.relu(linear(x, self.up)).square(), self.down, scale)
"""
SLEEPY_SPEC = """
spec_version: 1
name: sleepy
extends: quickstart
recipe:
  model:
    mlp:
      kind: local:sleepy.py:Sleepy
      ratio: 3
      tensors: {up: [hidden, width], down: [width, hidden]}
      options: {seconds: SECONDS}
"""


def sleepy_command(folder: Path, step_seconds: float, *, steps: int = 4) -> Sequence[str]:
    """Write a spec whose steps take so long, and return the command that runs it."""
    folder.mkdir(exist_ok=True)
    (folder / "sleepy.py").write_text(SLEEPY)
    (folder / "sleepy.yaml").write_text(SLEEPY_SPEC.replace("SECONDS", str(step_seconds / 2)))  # micro has two layers
    return ("run", "sleepy.yaml", "--with", "micro", "--set", f"recipe.budget.train={steps}")


def start(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    """Start a command as a shell does, in a process group of its own."""
    command = [sys.executable, "-m", "pgolf", *arguments]
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def kill_group(process: "subprocess.Popen[str]") -> bool:
    """Kill a command and its process group, and return whether it was still running. Trainers have their own groups."""
    with suppress(ProcessLookupError):  # it may have ended by itself
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    return process.returncode == -signal.SIGKILL


def only_run(folder: Path) -> RunDirectory | None:
    """Return the only run below a folder, if it has been created."""
    found = [*folder.glob("runs/*/seed-*")]
    return RunDirectory(found[0]) if found else None


def has_come_to(phase: str, folder: Path) -> bool:
    """Return whether the run has reported this phase or a later one."""
    run = only_run(folder)
    return phase == "none" or (run is not None and run.read_state().get("phase") in PHASES[PHASES.index(phase) :])


def wait_for(phase: str, folder: Path, process: "subprocess.Popen[str]") -> None:
    """Wait until the run has come to a phase, or its command has ended."""
    while process.poll() is None and not has_come_to(phase, folder):
        time.sleep(0.005)


def bits_of(run: RunDirectory) -> tuple[str, Any, list[Any]]:
    """Return what a kill must not change."""
    losses = [[row["step"], row["train_loss"]] for row in run.read_metrics()]
    return hashlib.sha256(run.files.model.read_bytes()).hexdigest(), run.read_result()["headline"], losses


def kill_and_repeat(folder: Path, command: Sequence[str], phase: str, seconds: float) -> Ended | None:
    """Kill a command so long after its run has come to a phase, give it again at once, and return how it ended.

    None: the command ended before it could be killed.
    """
    first = start(folder, *command)
    wait_for(phase, folder, first)
    time.sleep(seconds)
    return run_pgolf(folder, *command, "--json") if kill_group(first) else None


def check_kills(tmp_path: Path, steady: RunDirectory, command: Sequence[str], wanted: int, step_seconds: float) -> None:
    """Kill and repeat so many commands at random moments, and compare each run with one that nobody disturbed."""
    chance, held = random.Random(22), 0
    for phase in itertools.cycle(MOMENTS):
        seconds = chance.random() * MOMENTS[phase] * (step_seconds if phase == "train" else 1)
        folder = tmp_path / f"kill-{phase}-{seconds}"
        folder.mkdir()
        for file in tmp_path.glob("sleepy.*"):
            shutil.copy(file, folder)
        again = kill_and_repeat(folder, command, phase, seconds)
        if again is None:
            continue
        assert again.code == 0, (folder.name, again.err)
        run = only_run(folder)
        assert run is not None
        assert bits_of(run) == bits_of(steady), folder.name
        held += 1
        if held == wanted:
            return


@pytest.mark.slow
def test_a_command_that_was_killed_is_repeated_at_once(long_run: RunDirectory, tmp_path: Path) -> None:
    check_kills(tmp_path, long_run, ("run", "quickstart", *LONG), wanted=20, step_seconds=0.5)


@pytest.mark.parametrize(
    ("wanted", "step_seconds"), [(3, 0.3), pytest.param(20, 2.0, marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_a_command_that_was_killed_within_a_slow_step_is_repeated_at_once(
    tmp_path: Path, wanted: int, step_seconds: float
) -> None:
    command = sleepy_command(tmp_path, step_seconds)
    steady = run_pgolf(tmp_path, *command, "--json")
    assert steady.code == 0, steady.err
    run = RunDirectory(Path(json.loads(steady.out)["runs"][0]["run_dir"]))
    check_kills(tmp_path, run, command, wanted, step_seconds)


@pytest.fixture
def slow_run(tmp_path: Path) -> Iterator["SlowRun"]:
    """Yield a run whose steps are slow, and end what is left of its commands."""
    run = SlowRun(tmp_path, sleepy_command(tmp_path, 0.6))
    yield run
    for process in run.processes:
        kill_group(process)


class SlowRun:
    """Commands that carry out one and the same run."""

    def __init__(self, folder: Path, command: Sequence[str]) -> None:
        self.folder, self.command = folder, command
        self.processes: list[subprocess.Popen[str]] = []

    def start(self, phase: str = "none", *arguments: str) -> "subprocess.Popen[str]":
        """Start the command, and wait until its run has come to a phase."""
        self.processes.append(start(self.folder, *self.command, *arguments))
        wait_for(phase, self.folder, self.processes[-1])
        return self.processes[-1]

    def attach(self) -> "subprocess.Popen[str]":
        """Start the command a second time, and wait until it watches the run."""
        second = self.start()
        assert second.stderr is not None
        line = b""
        while not line.endswith(b"\n"):  # readline would take later lines from communicate()
            line += os.read(second.stderr.fileno(), 1)
        assert line.decode().startswith(f"{self.run.run_id} in ")
        return second

    @property
    def run(self) -> RunDirectory:
        run = only_run(self.folder)
        assert run is not None
        return run

    def check_carried_out(self, process: "subprocess.Popen[str]") -> str:
        """Check that a command ends with a result in which each step counts once, and return its messages."""
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        steps = [row["step"] for row in self.run.read_metrics()]
        assert steps == [*range(1, self.run.read_result()["steps"] + 1)]
        return err


@pytest.mark.slow
def test_a_command_that_had_attached_continues_the_run_of_one_that_was_killed(slow_run: SlowRun) -> None:
    first = slow_run.start("train")
    second = slow_run.attach()
    kill_group(first)
    err = slow_run.check_carried_out(second)
    assert "its trainer has ended without a result; this command continues the run" in err


@pytest.mark.slow
def test_ctrl_c_in_the_first_command_leaves_the_run_to_the_second(slow_run: SlowRun) -> None:
    first = slow_run.start("train")
    second = slow_run.attach()
    first.send_signal(signal.SIGINT)
    slow_run.check_carried_out(second)
    first.communicate()
    assert first.returncode == 130


@pytest.mark.slow
def test_ctrl_c_in_the_second_command_leaves_the_run_to_the_first(slow_run: SlowRun) -> None:
    first = slow_run.start("train")
    second = slow_run.attach()
    second.send_signal(signal.SIGINT)
    second.communicate(timeout=30)
    assert second.returncode == 130
    slow_run.check_carried_out(first)


@pytest.mark.slow
def test_a_cancelled_run_stays_stopped_and_the_same_command_starts_it_again_at_once(slow_run: SlowRun) -> None:
    first = slow_run.start("train")
    second = slow_run.attach()
    assert run_pgolf(slow_run.folder, "cancel", slow_run.run.run_id).code == 0
    third = slow_run.attach()
    for process in (first, second):
        _, err = process.communicate(timeout=60)
        assert process.returncode == 130, err
    assert "it has been asked to stop; waiting for its trainer to end" in slow_run.check_carried_out(third)


@pytest.mark.slow
def test_a_run_that_is_cancelled_while_a_command_waits_for_its_trainer_stays_stopped(slow_run: SlowRun) -> None:
    first = slow_run.start("train")
    trainer = read_handle(slow_run.run)["pid"]
    os.kill(trainer, signal.SIGSTOP)  # so that it does not end at once
    kill_group(first)
    again = slow_run.attach()
    assert again.stderr is not None
    assert "is gone; waiting for its trainer to end" in again.stderr.readline()
    assert run_pgolf(slow_run.folder, "cancel", slow_run.run.run_id).code == 0
    os.kill(trainer, signal.SIGCONT)
    again.communicate(timeout=60)
    assert again.returncode == 130
    assert slow_run.run.state == "stopped"


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.05])
def test_a_command_that_was_killed_as_it_started_its_trainer_is_repeated_at_once(
    slow_run: SlowRun, seconds: float
) -> None:
    first = slow_run.start()
    while not [*slow_run.folder.glob("runs/*/*/handle.json")]:
        time.sleep(0.001)
    time.sleep(seconds)
    kill_group(first)
    slow_run.check_carried_out(slow_run.start())


@pytest.mark.slow
def test_a_command_with_several_processes_is_repeated_at_once(tmp_path: Path) -> None:
    command = sleepy_command(tmp_path, 0.6)
    assignments = ("recipe.schedule.micro_batch_tokens=128", "launch.processes=2")
    run = SlowRun(tmp_path, (*command, *(word for assignment in assignments for word in ("--set", assignment))))
    kill_group(run.start("train"))
    run.check_carried_out(run.start())


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["prepare", "quantize", "evaluate"])
def test_a_run_from_a_checkpoint_is_repeated_at_once(long_run: RunDirectory, tmp_path: Path, phase: str) -> None:
    run = SlowRun(tmp_path, ("run", "--from-checkpoint", str(long_run.root)))
    kill_group(run.start(phase))
    again = run.start()
    _, err = again.communicate(timeout=60)
    assert again.returncode == 0, err
    assert run.run.files.model.read_bytes() == long_run.files.model.read_bytes()


@pytest.mark.slow
def test_two_commands_at_once_after_a_kill_train_once(slow_run: SlowRun) -> None:
    kill_group(slow_run.start("train"))
    both = [slow_run.start(), slow_run.start()]
    for process in both:
        slow_run.check_carried_out(process)
    assert slow_run.run.files.log.read_text().count("score: roundtrip") == 1


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["none", "train"])
def test_the_repeated_command_may_be_killed_too(slow_run: SlowRun, phase: str) -> None:
    kill_group(slow_run.start("train"))
    for seconds in (0.1, 0.5, 1.0):
        again = slow_run.start(phase)
        time.sleep(seconds)
        kill_group(again)
    slow_run.check_carried_out(slow_run.start())


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_was_told_to_end_is_repeated_at_once(slow_run: SlowRun, number: signal.Signals) -> None:
    first = slow_run.start("train")
    first.send_signal(number)
    slow_run.check_carried_out(slow_run.start())


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["prepare", "train", "evaluate"])
def test_a_command_and_its_trainer_that_were_killed_are_repeated_at_once(slow_run: SlowRun, phase: str) -> None:
    """As when the kernel kills all that a session has started, or the power fails."""
    first = slow_run.start(phase)
    second = slow_run.attach()
    kill_group(first)
    os.kill(read_handle(slow_run.run)["pid"], signal.SIGKILL)
    third = slow_run.start()
    for process in (second, third):
        slow_run.check_carried_out(process)


@pytest.mark.slow
def test_a_run_is_detached_at_once_after_a_kill(slow_run: SlowRun) -> None:
    kill_group(slow_run.start("train"))
    ended = run_pgolf(slow_run.folder, *slow_run.command, "--detach", "--json")
    assert ended.code == 0, ended.err
    assert "is gone; waiting for its trainer to end before starting it again" in ended.err
    assert not (read_handle(slow_run.run).get("owner") or slow_run.run.is_finished)
    slow_run.check_carried_out(slow_run.start())


@pytest.mark.slow
def test_seeds_that_were_killed_are_repeated_at_once(slow_run: SlowRun) -> None:
    command = ("seeds", *slow_run.command[1:], "--n", "2")
    first = start(slow_run.folder, *command)
    wait_for("train", slow_run.folder, first)
    kill_group(first)
    again = run_pgolf(slow_run.folder, *command, "--json")
    assert again.code == 0, again.err
    assert [run["state"] for run in again.json["runs"]] == ["finished", "finished"]


@pytest.mark.slow
def test_a_search_that_was_killed_is_repeated_at_once_and_pays_for_its_run(slow_run: SlowRun) -> None:
    with (slow_run.folder / "sleepy.yaml").open("a") as spec:
        spec.write("search:\n  rungs: [{share: 1.0}]\n  values: {recipe.optimizer.matrix_lr: {low: 0.01, high: 0.1}}\n")
    command = ("search", *slow_run.command[1:], "--budget-runs", "1")
    first = start(slow_run.folder, *command)
    wait_for("train", slow_run.folder, first)
    kill_group(first)
    again = run_pgolf(slow_run.folder, *command, "--json")
    assert again.code == 0, again.err
    assert again.json["spent"]["runs"] == 1


@pytest.mark.slow
def test_a_step_longer_than_the_grace_time_loses_only_itself(tmp_path: Path) -> None:
    slow_run = SlowRun(tmp_path, sleepy_command(tmp_path, GRACE_SECONDS + 3, steps=2))
    kill_group(slow_run.start("train"))
    again = slow_run.start()
    deadline = time.monotonic() + 60
    while slow_run.run.read_state().get("exit_code") is None:
        assert time.monotonic() < deadline, "the trainer did not end"
        time.sleep(0.05)
    state = slow_run.run.read_state()
    assert (state["phase"], state["exit_code"]) == ("stopped", 130)
    assert "could not write in time" in state["error"]
    assert "could not write in time" in slow_run.run.files.log.read_text()
    slow_run.check_carried_out(again)


SCRIPT = """
import os, signal, time
from pathlib import Path
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for step in (1, 2, 3):
    print(f"step:{step}/3 train_loss:{2 - step / 10} train_time:{step}ms")
    time.sleep(1)
Path("final_model.int8.ptz").write_bytes(b"weights")
print("final_exact val_loss:1.25 val_bpb:1.5")
"""


@pytest.mark.slow
def test_a_script_whose_command_was_killed_is_started_again_at_once(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(SCRIPT)
    program = {"kind": "script", "path": "own.py", "seed_variable": None}
    (tmp_path / "own.yaml").write_text(json.dumps({"spec_version": 1, "name": "own", "program": program}))
    run = SlowRun(tmp_path, ("run", "own.yaml"))
    kill_group(run.start("train"))
    _, err = (again := run.start()).communicate(timeout=60)
    assert again.returncode == 0, err
    assert run.run.read_result()["headline"]["val_bpb"] == 1.5
