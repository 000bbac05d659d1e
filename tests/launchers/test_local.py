"""The local launcher with real processes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from launchers.devices import cuda_devices, hold_devices
from launchers.local import LocalLauncher
from pgolf.errors import Busy
from pgolf.launching import Job, JobStatus, launcher_entries, load_launcher
from pgolf.launching.endings import ended_status
from pgolf.rundir import RunDirectory
from tests.conftest import LONG, Pgolf, run_pgolf
from trainer.recipe.processes import process_start


def wait_for_step(run_dir: Path, step: int = 1) -> None:
    """Wait until a run has trained so many steps."""
    deadline = time.monotonic() + 60
    while RunDirectory(run_dir).read_state().get("step", 0) < step:
        assert time.monotonic() < deadline, "the run did not start"
        time.sleep(0.02)


def wait_for_end(run_dir: Path) -> None:
    """Wait until no trainer holds a run's lock."""
    deadline = time.monotonic() + 30
    while RunDirectory(run_dir).is_alive:
        assert time.monotonic() < deadline, "the run did not end"
        time.sleep(0.02)


def start_long(folder: Path) -> "subprocess.Popen[str]":
    """Start a run of a few seconds in the background."""
    command = [sys.executable, "-m", "pgolf", "run", "quickstart", *LONG]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def only_run(folder: Path) -> Path:
    """Wait for the only run below a folder and return its directory."""
    deadline = time.monotonic() + 60
    while not (found := [*folder.glob("runs/*/seed-*/run.json")]):
        assert time.monotonic() < deadline, "no run directory appeared"
        time.sleep(0.02)
    return found[0].parent


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
@pytest.mark.slow
def test_a_signal_leaves_a_run_that_the_same_command_finishes(
    long_run: RunDirectory, tmp_path: Path, number: signal.Signals
) -> None:
    with start_long(tmp_path) as process:
        run_dir = only_run(tmp_path)
        wait_for_step(run_dir, 20)
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "the same command resumes" in err
    assert not RunDirectory(run_dir).is_alive
    again = run_pgolf(tmp_path, "run", "quickstart", *LONG, "--json")
    (found,) = again.json["runs"]
    assert found["result"]["resumed_from_step"] >= 20
    assert found["result"]["headline"] == long_run.read_result()["headline"]


@pytest.mark.real_process
def test_the_trainer_does_not_outlive_a_launcher_that_was_killed(tmp_path: Path) -> None:
    with start_long(tmp_path) as process:
        run_dir = only_run(tmp_path)
        wait_for_step(run_dir)
        process.kill()
    wait_for_end(run_dir)
    assert RunDirectory(run_dir).state == "stopped"
    assert [*(run_dir / "checkpoints").glob("step-*.ckpt")]


@pytest.mark.slow
def test_a_detached_run_is_found_followed_and_cancelled_by_other_processes(pgolf: Pgolf, tmp_path: Path) -> None:
    long = ("--set", "recipe.budget.train=100000", "--with", "micro")
    started = pgolf("run", "quickstart", *long, "--detach", "--json")
    assert started.code == 0, started.err
    run_dir = Path(started.json["runs"][0]["run_dir"])
    wait_for_step(run_dir)
    (row,) = pgolf("status", "--json").json["runs"]
    assert (row["state"], row["phase"]) == ("running", "train")
    assert row["eta_seconds"] > 0
    assert 0 < row["train_bpb"] < 10
    assert "train_loss" in pgolf("logs", "seed-1337").out
    elsewhere = pgolf("logs", run_dir, cwd=tmp_path.parent)
    assert "train_loss" in elsewhere.out
    again = pgolf("run", "quickstart", *long, "--detach", "--json")
    assert json.loads((run_dir / "handle.json").read_text())["pid"] == RunDirectory(run_dir).read_state()["pid"]
    assert again.json["runs"][0]["state"] == "running"
    assert pgolf("cancel", "seed-1337").code == 0
    wait_for_end(run_dir)
    assert RunDirectory(run_dir).state == "stopped"
    deadline = time.monotonic() + 30
    while pgolf("cancel", "seed-1337").code != 4:  # it still has to unload torch
        assert time.monotonic() < deadline, "`pgolf cancel` still finds something to stop"


@pytest.mark.slow
def test_a_second_run_attaches_to_the_first_and_starts_nothing(tmp_path: Path) -> None:
    with start_long(tmp_path) as first:
        run_dir = only_run(tmp_path)
        wait_for_step(run_dir)
        second = run_pgolf(tmp_path, "run", "quickstart", *LONG, "--json")
        first.communicate(timeout=60)
    assert (first.returncode, second.code) == (0, 0), second.err
    assert second.json["runs"][0]["result"] == RunDirectory(run_dir).read_result()
    assert (run_dir / "train.log").read_text().count("score: roundtrip") == 1


@pytest.mark.slow
def test_two_commands_at_the_same_moment_train_once(tmp_path: Path) -> None:
    with start_long(tmp_path) as first, start_long(tmp_path) as second:
        errors = [process.communicate(timeout=100)[1] for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), errors
    assert (only_run(tmp_path) / "train.log").read_text().count("score: roundtrip") == 1


@pytest.mark.slow
def test_a_trainer_that_dies_is_reported_with_its_log(pgolf: Pgolf, tmp_path: Path) -> None:
    with start_long(tmp_path) as process:
        run_dir = only_run(tmp_path)
        wait_for_step(run_dir)
        os.kill(RunDirectory(run_dir).read_state()["pid"], signal.SIGKILL)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "train.log" in err


def test_a_gpu_that_is_not_here_is_a_finding(tmp_path: Path) -> None:
    if cuda_devices():
        pytest.skip("this machine has a CUDA device")
    job = Job(run=RunDirectory(tmp_path / "x" / "seed-1"), gpu="H100:1", processes=1, options={}, is_detached=False)
    (finding,) = LocalLauncher().check(job)
    assert (finding.severity, finding.rule) == ("fail", "device")


SMI = """#!/bin/sh
echo "0, GPU-aaaa-1111, NVIDIA H100 80GB HBM3"
echo "1, GPU-bbbb-2222, NVIDIA H100 80GB HBM3"
"""


@pytest.mark.parametrize(
    ("visible", "expected"),
    [(None, ["0", "1"]), ("1", ["1"]), ("1, 0", ["1", "0"]), ("GPU-bbbb", ["1"]), ("", []), ("7", [])],
)
def test_devices_are_those_that_are_visible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, visible: str | None, expected: list[str]
) -> None:
    (tmp_path / "nvidia-smi").write_text(SMI)
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [*cuda_devices()] == expected
    launcher = LocalLauncher()
    job = Job(run=RunDirectory(tmp_path / "x" / "seed-1"), gpu="H100:2", processes=2, options={}, is_detached=False)
    (finding,) = launcher.check(job)
    assert finding.severity == ("pass" if len(expected) == 2 else "fail")
    if len(expected) == 2:
        held = hold_devices(expected, 1)
        assert held.indices == expected[:1]
        assert hold_devices_elsewhere(expected, 1) == expected[1:]
        with pytest.raises(Busy, match="2 CUDA devices are needed, 1 are free"):
            hold_devices(expected, 2)
        held.release()
        assert hold_devices_elsewhere(expected, 2) == expected


def hold_devices_elsewhere(candidates: list[str], count: int) -> list[str]:
    """Return the devices that another process gets."""
    program = f"from launchers.devices import hold_devices\nprint(*hold_devices({candidates!r}, {count}).indices)"
    return subprocess.check_output([sys.executable, "-c", program], text=True).split()


@pytest.mark.parametrize(("processes", "expected"), [(1, 5), (2, 2), (3, 1), (8, 1)])
def test_each_process_of_a_job_takes_one_device(tmp_path: Path, processes: int, expected: int) -> None:
    launcher = LocalLauncher()
    launcher.gpus = {str(index): "NVIDIA H100" for index in range(5)}
    run = RunDirectory(tmp_path / "x" / "seed-1")
    job = Job(run=run, gpu="H100", processes=processes, options={}, is_detached=False)
    assert launcher.capacity(job) == expected


def test_more_processes_than_cores_is_a_warning(tmp_path: Path) -> None:
    job = Job(run=RunDirectory(tmp_path / "x" / "seed-1"), gpu=None, processes=400, options={}, is_detached=False)
    (finding,) = [found for found in LocalLauncher().check(job) if found.rule == "device"]
    assert (finding.severity, finding.rule) == ("warn", "device")


def test_more_detached_runs_than_fit_are_refused(pgolf: Pgolf, tmp_path: Path) -> None:
    refused = pgolf("seeds", "quickstart", "--with", "micro", "--n", "2", "--detach")
    assert refused.code == 2
    assert "takes 1 here" in refused.err
    assert not [*tmp_path.glob("runs/*/seed-*/train.log")]


def test_a_trainer_that_could_not_say_why_is_known_by_its_exit_code(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "x" / "seed-1")
    run.root.mkdir(parents=True)
    run.files.state.write_text('{"phase": "failed", "error": "of an earlier attempt", "exit_code": 5}')
    assert ended_status(run, 6) == JobStatus("ended", 6, "")
    assert ended_status(run, 5) == JobStatus("ended", 5, "of an earlier attempt")
    assert ended_status(run, -9).message.startswith("the trainer was killed by signal 9, by hand or")
    assert "truncated" in ended_status(run, -7).message
    assert ended_status(run, 5, "its time was up") == JobStatus("ended", 5, "its time was up")
    run.files.state.write_text('{"phase": "failed", "error": "slow", "exit_code": 1, "reason": "stop_rule"}')
    assert ended_status(run, 1) == JobStatus("ended", 1, "slow", "stop_rule")
    assert ended_status(run, 6).reason is None


@pytest.mark.parametrize("code", [0, 6])
def test_the_exit_code_of_the_process_counts_and_not_one_that_an_earlier_attempt_left(
    tmp_path: Path, code: int
) -> None:
    run = RunDirectory(tmp_path / "x" / "seed-1")
    run.root.mkdir(parents=True)
    run.files.state.write_text('{"phase": "failed", "error": "of an earlier attempt", "exit_code": 5}')
    launcher = LocalLauncher()
    child = launcher.children[run.run_id] = subprocess.Popen([sys.executable, "-c", f"raise SystemExit({code})"])
    child.wait()
    assert launcher.status({"run_dir": str(run.root), "pid": child.pid}) == JobStatus("ended", code)


def test_the_exit_code_in_state_json_counts_for_the_trainer_that_wrote_it(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "x" / "seed-1")
    run.root.mkdir(parents=True)
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    run.files.state.write_text(json.dumps({"phase": "failed", "error": "slow", "exit_code": 1, "pid": gone.pid}))
    handle = {"run_dir": str(run.root), "pid": gone.pid, "started": "1"}
    assert LocalLauncher().status(handle) == JobStatus("ended", 1, "slow")
    assert LocalLauncher().status(handle | {"pid": gone.pid + 1}) == JobStatus("ended", None)
    assert LocalLauncher().status(handle | {"pid": None}) == JobStatus("ended", None)


def test_a_process_is_known_by_when_it_began() -> None:
    """Processes that begin one after another have rising starts, and using memory or time changes none."""
    grow = "x = bytearray(1 << 26)\nprint(sum(x), flush=True)\ninput()"
    command, starts = [sys.executable, "-c", grow], []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
        starts.append(process_start(first.pid))
        time.sleep(0.1)
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as second:
            starts.append(process_start(second.pid))
            for process in (first, second):
                assert process.stdout is not None
                process.stdout.readline()
            assert [process_start(process.pid) for process in (first, second)] == starts
            second.kill()
        first.kill()
    ticks = [int(start) for start in starts if start is not None]
    assert len(ticks) == 2
    assert ticks[0] < ticks[1]
    assert process_start(first.pid) is None


def test_the_built_in_launcher_comes_through_the_plugin_door() -> None:
    assert launcher_entries()["local"].value == "launchers.local:LocalLauncher"
    assert load_launcher("local").name == "local"
