"""The supervisor on the other machine, with real processes and a trainer that only counts."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from launchers import ssh_agent
from pgolf.campaign.moving import newest_step
from trainer.recipe.processes import process_start

PATIENCE_SECONDS = 30
# Appends its pid to a file until it is told to stop, or until there is a file `finish`.
TRAINER = """
import os, signal, sys, time
from pathlib import Path
signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
root = Path(sys.argv[1])
while not (root / "finish").exists():
    with (root / "steps").open("a") as file:
        file.write(f"{os.getpid()}\\n")
    time.sleep(0.005)
(root / "result.json").write_text("{}")
"""


def ask(command: str, **request: Any) -> dict[str, Any]:
    """Return the agent's answer."""
    words = [sys.executable, ssh_agent.__file__, command, json.dumps(request)]
    out = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return dict(json.loads(out.removeprefix(ssh_agent.ANSWER_MARK)))


class Machine:
    """A folder with a run, and what the agent there is asked for."""

    def __init__(self, root: Path) -> None:
        self.root, self.code = root, root / "code"
        (self.code / "trainer").mkdir(parents=True)
        (self.code / "trainer" / "__init__.py").touch()
        (self.code / "trainer" / "__main__.py").write_text(TRAINER)
        self.run = self.new_run("x")

    def new_run(self, name: str) -> Path:
        run = self.root / "runs" / name
        run.mkdir(parents=True)
        (run / "run.json").write_text("{}")
        return run

    def start(self, claim: str, run: Path | None = None, **changes: Any) -> dict[str, Any]:
        request: dict[str, Any] = {
            "run": str(run or self.run), "code": str(self.code), "python": sys.executable, "root": str(self.root),
            "devices": 0, "processes": 1, "limit_seconds": None, "known_attempts": [], "settings": {}, "claim": claim,
            "exit_codes": {"timed_out": 124, "interrupted": 130},
        }  # fmt: skip
        return ask("start", **request | changes)

    def steps(self) -> list[int]:
        """Return the pid of the trainer that took each step."""
        path = self.run / "steps"
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def exit(self, run: Path | None = None) -> dict[str, Any]:
        """Wait for exit.json and return it."""
        path = (run or self.run) / "exit.json"
        wait_until(path.exists)
        return dict(json.loads(path.read_text()))

    def poll(self) -> dict[str, Any]:
        return ask("poll", run=str(self.run), known={})


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    for run in tmp_path.glob("runs/*"):
        (run / "finish").touch()  # ends a trainer whose agent is killed below
    for job in tmp_path.glob("runs/*/job.json"):
        found = json.loads(job.read_text())
        if found["pid"] and process_start(found["pid"]) == found["started"]:
            os.kill(found["pid"], signal.SIGKILL)


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    return process_start(pid) is not None


def signal_all(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        os.kill(pid, number)


def test_a_living_supervisor_is_the_only_one(machine: Machine) -> None:
    first = machine.start("a")
    wait_until(lambda: len(machine.steps()) > 3)
    assert machine.start("b") == first
    assert machine.poll()["is_running"]
    (machine.run / "finish").touch()
    assert machine.exit() == {"exit_code": 0, "message": ""}
    assert machine.start("c") == {"pid": None}
    assert len({*machine.steps()}) == 1
    wait_until(lambda: not [*machine.run.glob(".lease-*")])


def test_a_paused_supervisor_and_its_trainer_leave_the_run_to_the_next(machine: Machine) -> None:
    first = machine.start("a")
    wait_until(lambda: len(machine.steps()) > 3)
    paused = [first["pid"], machine.steps()[-1]]
    signal_all(paused, signal.SIGSTOP)
    before = machine.steps()
    second = machine.start("b")
    assert second["pid"] != first["pid"]
    wait_until(lambda: len({*machine.steps()}) == 2)
    assert not is_alive(paused[1])  # the second trainer starts when the first is dead
    wait_until(lambda: not is_alive(paused[0]))
    assert {*machine.steps()[len(before) :]} == {machine.steps()[-1]}
    (machine.run / "finish").touch()
    assert machine.exit()["exit_code"] == 0
    assert len((machine.run / "attempts.jsonl").read_text().splitlines()) == 1


def test_a_supervisor_elsewhere_is_waited_for_while_it_beats(machine: Machine) -> None:
    """Another machine has the folder: its pids say nothing here."""
    elsewhere = {"host": "pod-7 another-boot", "pid": os.getpid(), "started": process_start(os.getpid())}
    (machine.run / "job.json").write_text(json.dumps(elsewhere | {"claim": "a"}))
    lease = machine.run / ".lease-a"
    lease.write_text(json.dumps(elsewhere | {"beat": 0}))
    assert machine.poll()["is_running"]
    machine.start("b")
    for beat in range(1, 20):
        lease.write_text(json.dumps(elsewhere | {"beat": beat}))
        assert not machine.steps()
        time.sleep(0.05)
    lease.unlink()  # it has found the new claim
    wait_until(lambda: len(machine.steps()) > 3)


@pytest.mark.slow
def test_a_supervisor_elsewhere_that_is_silent_is_not_waited_for(machine: Machine) -> None:
    elsewhere = {"host": "pod-7 another-boot", "pid": 1, "started": "1"}
    (machine.run / "job.json").write_text(json.dumps(elsewhere | {"claim": "a"}))
    (machine.run / ".lease-a").write_text(json.dumps(elsewhere | {"beat": 1}))
    (machine.run / "run.lock").touch()
    began = time.monotonic()
    machine.start("b")
    wait_until(lambda: len(machine.steps()) > 3)
    assert time.monotonic() - began >= ssh_agent.SILENT_SECONDS
    assert not (machine.run / "run.lock").exists()


def test_a_dead_supervisor_here_is_not_waited_for(machine: Machine) -> None:
    first = machine.start("a")
    wait_until(lambda: len(machine.steps()) > 3)
    (machine.run / "run.lock").touch()
    signal_all([first["pid"], machine.steps()[-1]], signal.SIGKILL)
    wait_until(lambda: not is_alive(first["pid"]))
    assert not machine.poll()["is_running"]
    machine.start("b")
    began = time.monotonic()
    wait_until(lambda: len({*machine.steps()}) == 2)
    assert time.monotonic() - began < ssh_agent.SILENT_SECONDS
    assert (machine.run / "run.lock").exists()


def test_too_few_devices_are_an_end_with_a_reason(machine: Machine) -> None:
    machine.start("a", devices=64)
    found = machine.exit()
    assert found["exit_code"] == 6
    assert "64 CUDA devices are needed" in found["message"]


def test_waiting_in_the_queue_costs_nothing(machine: Machine) -> None:
    machine.start("a")
    wait_until(lambda: len(machine.steps()) > 3)
    second = machine.new_run("y")
    machine.start("b", second)
    wait_until((second / ".lease-b").exists)
    assert ask("poll", run=str(second), known={})["is_waiting"]
    assert ask("cancel", run=str(second)) == {"was_running": True}
    assert machine.exit(second) == {"exit_code": 130, "message": "stopped while it was queued"}
    assert not (second / "attempts.jsonl").exists()


def test_seconds_of_earlier_attempts_count(machine: Machine) -> None:
    (machine.run / "attempts.jsonl").write_text('{"seconds": 30.0}\n{"seconds": 1')  # a line cut short by a kill
    machine.start("a", limit_seconds=20.0, known_attempts=[10.0])  # the caller knows of 10 s of the 30
    assert machine.exit() == {"exit_code": 124, "message": "spend.usd is used up: earlier attempts took 30 s"}
    assert not machine.steps()
    began = time.monotonic()
    machine.start("b", limit_seconds=20.5, known_attempts=[10.0])
    assert machine.exit()["message"] == "stopped after 0 s: spend.usd is used up"
    assert time.monotonic() - began >= 0.5
    assert machine.steps()


def test_attempts_made_elsewhere_are_taken_over(machine: Machine) -> None:
    machine.start("a", limit_seconds=0.0, known_attempts=[7.0, 8.0])
    assert "earlier attempts took 15 s" in machine.exit()["message"]
    lines = (machine.run / "attempts.jsonl").read_text().splitlines()
    assert [json.loads(line)["seconds"] for line in lines] == [7.0, 8.0]


@pytest.mark.slow
def test_the_seconds_of_a_killed_supervisor_count(machine: Machine) -> None:
    first = machine.start("a")
    wait_until((machine.run / "attempts.jsonl").exists)
    signal_all([first["pid"], machine.steps()[-1]], signal.SIGKILL)
    (line,) = (machine.run / "attempts.jsonl").read_text().splitlines()
    assert json.loads(line)["seconds"] >= ssh_agent.RECORD_SECONDS - 1


DEEP = "[" * 100_000
NO_JOBS = [
    '{"a": 1}',
    '{"pid": "x", "claim": "y"}',
    '{"pid": 1, "started": [], "claim": "\\u0000"}',
    DEEP,
    '{"host": 1}',
    "1",
    None,
]


@pytest.mark.parametrize("content", NO_JOBS, ids=["a", "pid", "null", "deep", "host", "number", "pipe"])
def test_a_damaged_file_is_read_as_none(content: str | None, machine: Machine) -> None:
    for name in ("job.json", "exit.json"):
        if content is None:
            os.mkfifo(machine.run / name)
        else:
            (machine.run / name).write_text(content)
    (machine.run / "attempts.jsonl").write_text(content or "")
    answer = machine.poll()
    assert (answer["is_running"], answer["exit_code"], answer["message"]) == (False, None, "")
    assert ask("cancel", run=str(machine.run)) == {"was_running": False}
    assert ask("standing", run=str(machine.run))["is_running"] is False
    machine.start("b")
    wait_until(lambda: len(machine.steps()) > 3)


def test_only_names_of_checkpoints_are_steps(machine: Machine) -> None:
    folder = machine.run / "checkpoints"
    folder.mkdir()
    assert ask("standing", run=str(machine.run))["step"] is None
    assert newest_step(folder) is None
    for name in ("step-x.ckpt", "step-.ckpt", "step-00000012.ckpt", "step-7.ckpt", "step-99.ckpt.old", "step--99.ckpt"):
        (folder / name).touch()
    assert ask("standing", run=str(machine.run))["step"] == 12
    assert newest_step(folder) == 12


@pytest.mark.parametrize("cache", ['{"a": 1}', '{"a": []}', '{"a": ["1 2", 3]}', DEEP])
def test_a_damaged_cache_of_hashes_is_not_used(cache: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("text")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / ssh_agent.HASH_CACHE).write_text(cache)
    hashes = {"a": hashlib.sha256(b"text").hexdigest(), "pipe": ""}
    for _ in range(2):
        assert ask("missing_files", folder=str(tmp_path), files=hashes) == {"missing": ["pipe"]}


def test_a_pipe_in_place_of_a_log_is_named(machine: Machine) -> None:
    log = machine.run / "train.log"
    os.mkfifo(log)
    answer = ask("poll", run=str(machine.run), known={"train.log": [0, ""]})
    assert answer == {"error": f"{log}: found a FIFO or a device, expected a regular file"}
