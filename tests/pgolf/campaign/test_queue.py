"""The queue of runs, with a scripted launcher."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel

from pgolf.campaign.dispatch import Dispatch
from pgolf.campaign.execution import run_to_end, start_detached
from pgolf.campaign.observer import Observer
from pgolf.campaign.queue import Outcome, carry_out, tasks_of
from pgolf.errors import Busy, LauncherError, Unreachable
from pgolf.findings import Finding
from pgolf.launching import Handle, Job, JobStatus, write_handle
from pgolf.preflight.examine import examine
from pgolf.rundir import RunDirectory
from pgolf.specs.loading import load_spec
from trainer.runtime.lock import exclusive_lock


class ScriptedLauncher:
    """A launcher in memory: the fate of each seed is a list of statuses or errors."""

    name: ClassVar[str] = "scripted"
    summary: ClassVar[str] = "for tests"
    is_remote: ClassVar[bool] = True

    Options: ClassVar[type[BaseModel]] = BaseModel

    def __init__(self, room: int, fates: dict[int, list[JobStatus | Exception]]) -> None:
        self.room, self.fates = room, fates
        self.active: set[int] = set()
        self.most_at_once = 0
        self.submitted: list[int] = []
        self.fetch_fails: dict[int, list[Exception]] = {}

    def check(self, job: Job) -> list[Finding]:
        return []

    def doctor(self, gpu: str | None, options: dict[str, Any]) -> list[Finding]:
        return []

    def capacity(self, job: Job) -> int:
        return self.room

    def submit(self, job: Job) -> Handle:
        if isinstance(fate := self.fates[job.run.seed][0], Exception):
            self.fates[job.run.seed].pop(0)
            raise fate
        self.submitted.append(job.run.seed)
        self.active.add(job.run.seed)
        self.most_at_once = max(self.most_at_once, len(self.active))
        handle = {"launcher": self.name, "seed": job.run.seed}
        write_handle(job.run, handle)
        return handle

    def status(self, handle: Handle) -> JobStatus:
        fate = self.fates[handle["seed"]]
        status = fate.pop(0) if len(fate) > 1 else fate[0]
        assert isinstance(status, JobStatus)
        if status.state == "ended":
            self.active.discard(handle["seed"])
        return status

    def logs(self, handle: Handle, follow: bool) -> Iterator[str]:
        return iter(())

    def fetch(self, handle: Handle, run: RunDirectory) -> None:
        if self.fetch_fails.get(run.seed):
            raise self.fetch_fails[run.seed].pop(0)

    def cancel(self, handle: Handle) -> None:
        pass


class ScriptedLocalLauncher(ScriptedLauncher):
    """A launcher whose jobs end with the command that started them."""

    is_remote: ClassVar[bool] = False


RUNNING, DONE = JobStatus("running"), JobStatus("ended", 0)


class MessageLog(Observer):
    """Keeps the messages."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def say(self, message: str) -> None:
        self.messages.append(message)


def run_three_seeds(
    launcher: ScriptedLauncher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[dict[int, JobStatus], list[str]]:
    """Run three seeds; return their final statuses and the messages."""
    monkeypatch.chdir(tmp_path)
    found = examine(load_spec("quickstart", ["micro"]).spec, runs_dir=tmp_path)
    dispatch = Dispatch(found, {}, launcher, tmp_path)
    messages = MessageLog()
    outcomes = [each for each in carry_out(tasks_of(dispatch, [1, 2, 3]), messages) if each]
    assert all(isinstance(outcome, Outcome) for outcome in outcomes)
    return {outcome.run.seed: outcome.status for outcome in outcomes}, messages.messages


def test_no_more_runs_than_the_capacity_are_active(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    launcher = ScriptedLauncher(2, {seed: [RUNNING, RUNNING, RUNNING, DONE] for seed in (1, 2, 3)})
    ended, _ = run_three_seeds(launcher, tmp_path, monkeypatch)
    assert ended == {1: DONE, 2: DONE, 3: DONE}
    assert (launcher.most_at_once, launcher.submitted) == (2, [1, 2, 3])


def test_a_failed_run_does_not_affect_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = JobStatus("ended", 6, "out of memory")
    launcher = ScriptedLauncher(1, {1: [RUNNING, memory], 2: [LauncherError("no such key")], 3: [RUNNING, DONE]})
    ended, _ = run_three_seeds(launcher, tmp_path, monkeypatch)
    assert ended == {1: memory, 2: JobStatus("ended", 4, "no such key"), 3: DONE}


def test_a_busy_machine_is_waited_for_and_reported_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    busy = Busy("8 CUDA devices are needed, 0 here have no run of yours")
    launcher = ScriptedLauncher(3, {1: [busy, busy, busy, RUNNING, DONE], 2: [RUNNING, DONE], 3: [RUNNING, DONE]})
    ended, messages = run_three_seeds(launcher, tmp_path, monkeypatch)
    assert set(ended.values()) == {DONE}
    assert [message.partition(": ")[2] for message in messages] == [f"waiting: {busy}"]


def test_an_unreachable_machine_is_polled_again_and_nothing_starts_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unreachable = JobStatus("unreachable", message="lab does not answer")
    launcher = ScriptedLauncher(3, {1: [RUNNING, unreachable, unreachable, RUNNING, DONE], 2: [DONE], 3: [DONE]})
    launcher.fetch_fails = {2: [Unreachable("lab does not answer")], 3: [LauncherError("model.bin came back changed")]}
    ended, messages = run_three_seeds(launcher, tmp_path, monkeypatch)
    assert ended == {1: DONE, 2: DONE, 3: JobStatus("ended", 4, "model.bin came back changed")}
    assert launcher.submitted == [1, 2, 3]
    assert len(messages) == 2


def test_a_living_job_is_attached_to_and_an_ended_one_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    crashed = JobStatus("ended", 1, "the loss is not a number")
    launcher = ScriptedLauncher(1, {1: [RUNNING, RUNNING, crashed, DONE]})
    preflight = examine(load_spec("quickstart", ["micro"]).spec, runs_dir=tmp_path)
    for expected in ([1], [1], [1], [1, 1], [1, 1]):  # new, running twice, failed, succeeded and not yet fetched
        dispatch = Dispatch(preflight, {}, launcher, tmp_path)
        dispatch.submit([dispatch.prepare(1)])
        assert launcher.submitted == expected


STOPPED = JobStatus("ended", 130, "stopped on request")
KILLED = JobStatus("ended", None)
FAILED = JobStatus("ended", 1, "the loss is not a number")
GAVE_WAY = JobStatus("ended", 75, "another trainer is at work")
CANCELLED = {"stopped_by": "cancel"}


def carry_out_attached(
    tmp_path: Path, launcher: ScriptedLauncher, at_first: dict[str, Any], at_end: dict[str, Any]
) -> tuple[JobStatus, list[str]]:
    """Carry out seed 1, whose job another command has started; return its status and the messages.

    `at_first` and `at_end` are what handle.json says when this command attaches to the job, and later.
    """
    found = examine(load_spec("quickstart", ["micro"]).spec, runs_dir=tmp_path)
    (task,) = tasks_of(Dispatch(found, {}, launcher, tmp_path), [1])
    handle = {"launcher": launcher.name, "seed": 1}
    write_handle(task.run, handle | at_first)
    messages = MessageLog()
    for outcome in carry_out([task], messages):
        if outcome is not None:
            return outcome.status, messages.messages
        if not launcher.submitted:
            write_handle(task.run, handle | at_end)
    raise AssertionError("the run never ended")


@pytest.mark.parametrize("end", [STOPPED, KILLED, GAVE_WAY], ids=["stopped", "killed", "gave way"])
def test_a_run_that_ends_with_another_command_is_started_again(tmp_path: Path, end: JobStatus) -> None:
    launcher = ScriptedLocalLauncher(1, {1: [RUNNING, RUNNING, end, end, RUNNING, DONE]})
    status, messages = carry_out_attached(tmp_path, launcher, {}, {})
    assert (status, launcher.submitted) == (DONE, [1])
    assert [message.partition(": ")[2] for message in messages] == [
        "its trainer has ended without a result; this command continues the run"
    ]


@pytest.mark.parametrize(
    ("end", "at_end", "kind"),
    [
        (FAILED, {}, ScriptedLocalLauncher),
        (STOPPED, CANCELLED, ScriptedLocalLauncher),
        (KILLED, CANCELLED, ScriptedLocalLauncher),
        (STOPPED, {}, ScriptedLauncher),
    ],
    ids=["failed", "cancelled", "cancelled and killed", "on another machine"],
)
def test_a_run_that_failed_or_was_cancelled_stays_so(
    tmp_path: Path, end: JobStatus, at_end: dict[str, Any], kind: type[ScriptedLauncher]
) -> None:
    launcher = kind(1, {1: [RUNNING, RUNNING, end]})
    assert carry_out_attached(tmp_path, launcher, {}, at_end) == (end, [])
    assert launcher.submitted == []


@pytest.mark.parametrize("kind", [ScriptedLocalLauncher, ScriptedLauncher])
@pytest.mark.parametrize("end", [STOPPED, FAILED], ids=["stopped", "failed"])
def test_a_run_that_was_cancelled_before_the_command_is_started_again(
    tmp_path: Path, end: JobStatus, kind: type[ScriptedLauncher]
) -> None:
    launcher = kind(1, {1: [RUNNING, RUNNING, end, end, RUNNING, DONE]})
    status, messages = carry_out_attached(tmp_path, launcher, CANCELLED, CANCELLED)
    assert (status, launcher.submitted) == (DONE, [1])
    assert messages[0].endswith("it has been asked to stop; waiting for its trainer to end before continuing the run")


def test_a_run_that_is_started_again_gets_the_threads_that_this_command_asks_for(tmp_path: Path) -> None:
    """While another command's trainer is at work, run.json is the trainer's."""
    found = examine(load_spec("quickstart", ["micro"]).spec, runs_dir=tmp_path)
    launcher = ScriptedLocalLauncher(1, {1: [RUNNING, STOPPED, STOPPED, DONE]})
    (task,) = tasks_of(Dispatch(found, {}, launcher, tmp_path), [1])
    write_handle(task.run, {"launcher": launcher.name, "seed": 1})
    with exclusive_lock(task.run.files.lock):
        again = load_spec("quickstart", ["micro"], ["launch.threads=2"]).spec
        (task,) = tasks_of(Dispatch(examine(again, runs_dir=tmp_path), {}, launcher, tmp_path), [1])
        assert task.run.read_run()["threads"] is None
    (outcome,) = run_to_end([task], Observer())
    assert (outcome.status, task.run.read_run()["threads"]) == (DONE, 2)


def test_a_run_that_is_about_to_end_counts_as_one_to_start(tmp_path: Path) -> None:
    """It is checked and paid for as such."""
    found = examine(load_spec("quickstart", ["micro"]).spec, runs_dir=tmp_path)
    dispatch = Dispatch(found, {}, ScriptedLocalLauncher(1, {}), tmp_path)
    (task,) = tasks_of(dispatch, [1])
    handle = {"launcher": "scripted", "seed": 1}
    with exclusive_lock(task.run.files.lock):
        write_handle(task.run, handle)
        assert dispatch.to_start([1, 2]) == [2]
        write_handle(task.run, handle | CANCELLED)
        assert dispatch.to_start([1, 2]) == [1, 2]


def test_a_job_of_this_command_that_was_stopped_is_not_started_again(tmp_path: Path) -> None:
    launcher = ScriptedLocalLauncher(1, {1: [RUNNING, STOPPED]})
    found = examine(load_spec("quickstart", ["micro"]).spec, runs_dir=tmp_path)
    (outcome,) = run_to_end(tasks_of(Dispatch(found, {}, launcher, tmp_path), [1]), Observer())
    assert (outcome.status, launcher.submitted) == (STOPPED, [1])


def test_a_job_of_this_command_that_gave_way_is_not_cancelled(tmp_path: Path) -> None:
    """Ctrl-C in the second of two commands leaves the run to the first, whose trainer carries it out."""
    launcher = ScriptedLocalLauncher(1, {1: [GAVE_WAY]})
    found = examine(load_spec("quickstart", ["micro"]).spec, runs_dir=tmp_path)
    (task,) = tasks_of(dispatch := Dispatch(found, {}, launcher, tmp_path), [1])
    with exclusive_lock(task.run.files.lock):
        polls = carry_out([task], Observer())
        assert [next(polls), next(polls)] == [None, None]
        assert (dispatch.started, launcher.submitted) == ([], [1])


@pytest.mark.parametrize("is_moving", [True, False])
def test_a_detached_start_does_not_wait_for_ever_for_a_machine_that_is_silent(tmp_path: Path, is_moving: bool) -> None:
    launcher = ScriptedLauncher(1, {1: [JobStatus("unreachable", message="pod does not answer")]})
    found = examine(load_spec("quickstart", ["micro"]).spec, runs_dir=tmp_path)
    dispatch = Dispatch(found, {}, launcher, tmp_path, is_detached=True)
    (task,) = tasks_of(dispatch, [1])
    patience: dict[str, Any] = {"patience_seconds": 0.01}
    write_handle(task.run, {"launcher": "scripted", "seed": 1, "stopped_by": "cancel", "options": patience})
    if is_moving:
        (task,) = tasks_of(replace(dispatch, moving=frozenset({task.run.run_id})), [1])
        start_detached([task], MessageLog())
        assert launcher.submitted == [1]
    else:
        with pytest.raises(Unreachable, match="pod does not answer; waited"):
            start_detached([task], MessageLog())


def test_outcomes_come_in_the_order_of_the_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pgolf.campaign.execution.POLL_SECONDS", 0.0)
    launcher = ScriptedLauncher(3, {1: [RUNNING, RUNNING, RUNNING, DONE], 2: [RUNNING, DONE], 3: [DONE]})
    found = examine(load_spec("quickstart", ["micro"]).spec, runs_dir=tmp_path)
    tasks = tasks_of(Dispatch(found, {}, launcher, tmp_path), [1, 2, 3])
    assert [outcome.run.seed for outcome in run_to_end(tasks, Observer())] == [1, 2, 3]
