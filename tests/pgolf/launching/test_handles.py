"""Whose job a handle is, and whether the job is about to end with its owner."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pgolf.errors import LauncherError
from pgolf.launching import load_launcher
from pgolf.launching.handles import ask_to_stop, create_handle, local_process, owner_here, read_handle, why_ending
from pgolf.rundir import RunDirectory

OTHER_MACHINE = "0b4ab2a6-93a1-4d4b-9a4b-b1f9d0e2b3c4 pid:[4026531836]"


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    run = RunDirectory(tmp_path / "x-12345678" / "seed-1")
    run.root.mkdir(parents=True)
    return run


@pytest.fixture
def living() -> Iterator["subprocess.Popen[bytes]"]:
    """Return a process that runs, in place of a trainer."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def process_that_ended() -> dict[str, Any]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        facts = local_process(process.pid)
        process.kill()
    return facts


def test_a_job_ends_when_its_owner_is_gone(living: "subprocess.Popen[bytes]") -> None:
    job, gone = local_process(living.pid), process_that_ended()
    assert why_ending(job | {"owner": gone}) == f"the command that started it (process {gone['pid']}) is gone"
    # Its pid may belong to another process by now.
    assert why_ending(job | {"owner": gone | {"pid": os.getpid()}}) is not None
    assert why_ending(job | owner_here()) is None
    assert why_ending(job) is None  # detached, or started by an earlier version
    assert why_ending(job | {"stopped_by": "cancel"}) == "it has been asked to stop"


def test_a_job_that_has_ended_or_is_elsewhere_is_not_about_to_end(living: "subprocess.Popen[bytes]") -> None:
    job, gone = local_process(living.pid), process_that_ended()
    assert why_ending(gone | {"owner": gone}) is None
    assert why_ending({"pid": None, "owner": gone}) is None
    assert why_ending(job | {"owner": gone | {"pid_namespace": OTHER_MACHINE}}) is None


@pytest.mark.parametrize("owner", [None, 7, "me", {}, {"pid": "7"}, {"pid": -1, "pid_namespace": None}])
def test_a_damaged_owner_is_no_owner(living: "subprocess.Popen[bytes]", owner: object) -> None:
    assert why_ending(local_process(living.pid) | {"owner": owner}) is None


def test_pids_of_another_machine_are_not_judged_or_killed_here(
    run: RunDirectory, living: "subprocess.Popen[bytes]"
) -> None:
    launcher, facts = load_launcher("local"), local_process(living.pid)
    handle = create_handle("local", run, **facts)
    assert launcher.status(handle).state == "running"
    copied = create_handle("local", run, **facts | {"pid_namespace": OTHER_MACHINE})
    assert launcher.status(copied).state == "ended"
    with pytest.raises(LauncherError, match="on another machine or in another container"):
        launcher.cancel(copied)
    assert living.poll() is None
    launcher.cancel(handle)
    assert living.wait() == -signal.SIGTERM


def test_a_request_to_stop_that_did_not_get_through_is_not_recorded(run: RunDirectory) -> None:
    handle = create_handle("local", run, **process_that_ended() | {"pid_namespace": OTHER_MACHINE})
    with pytest.raises(LauncherError):
        ask_to_stop(load_launcher("local"), handle, "cancel")
    assert "stopped_by" not in handle | read_handle(run)


def test_who_asked_a_job_to_stop_is_kept_until_the_next_job(
    run: RunDirectory, living: "subprocess.Popen[bytes]"
) -> None:
    handle = create_handle("local", run, **local_process(living.pid))
    ask_to_stop(load_launcher("local"), handle, "cancel")
    assert read_handle(run)["stopped_by"] == "cancel"
    create_handle("local", run, pid=None)
    assert "stopped_by" not in read_handle(run)


def test_the_process_of_a_copied_run_is_left_alone(run: RunDirectory, living: "subprocess.Popen[bytes]") -> None:
    create_handle("local", run, **local_process(living.pid))
    copy = RunDirectory(Path(shutil.copytree(run.root, run.root.parent.parent / "copy" / run.root.name)))
    assert load_launcher("local").status(read_handle(copy)).state == "ended"
    assert load_launcher("local").status(read_handle(run)).state == "running"
    shutil.rmtree(run.root)  # then the copy is the run, in another place
    assert load_launcher("local").status(read_handle(copy)).state == "running"
