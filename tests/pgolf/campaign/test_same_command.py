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
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pgolf.rundir import RunDirectory
from tests.conftest import LONG, Ended, run_pgolf

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
    ("wanted", "step_seconds"), [(3, 0.6), pytest.param(20, 2.0, marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_a_command_that_was_killed_within_a_slow_step_is_repeated_at_once(
    tmp_path: Path, wanted: int, step_seconds: float
) -> None:
    command = sleepy_command(tmp_path, step_seconds)
    steady = run_pgolf(tmp_path, *command, "--json")
    assert steady.code == 0, steady.err
    run = RunDirectory(Path(json.loads(steady.out)["runs"][0]["run_dir"]))
    check_kills(tmp_path, run, command, wanted, step_seconds)
