"""Runs of one spec or of several, as many at a time as their launchers take."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pgolf.campaign.dispatch import Dispatch
from pgolf.campaign.observer import Observer
from pgolf.errors import Busy, LauncherError, Unreachable
from pgolf.launching import GroupLauncher, Handle, JobStatus, read_handle
from pgolf.launching.handles import why_ending
from pgolf.launching.polling import Silence, patience_of
from pgolf.rundir import RunDirectory
from trainer.recipe.exit_codes import ALREADY_RUNNING


@dataclass(frozen=True, slots=True)
class Task:
    """A run to carry out, whose run directory exists."""

    dispatch: Dispatch
    run: RunDirectory


@dataclass(frozen=True, slots=True)
class Outcome:
    """A run and how its job ended."""

    run: RunDirectory
    status: JobStatus


def tasks_of(dispatch: Dispatch, seeds: Sequence[int]) -> list[Task]:
    """Return the runs of some seeds, each with a run directory.

    Raises:
        UsageError: an earlier attempt ran under other code, data or torch.
    """
    return [Task(dispatch, dispatch.prepare(seed)) for seed in seeds]


def carry_out(tasks: Sequence[Task], observer: Observer) -> Iterator[Outcome | None]:
    """Yield each run as it ends, and None after every poll. A failed run does not stop the others.

    Finished runs are yielded at once and not run again.
    """
    queue = RunQueue(tasks, observer)
    while not queue.is_empty:
        yield from queue.start_some()
        yield from queue.poll()
        yield None


@dataclass(frozen=True, slots=True)
class Watched:
    """A run at work, and its job."""

    task: Task
    handle: Handle
    is_ending: bool
    """Whether the job was about to end when this command attached to it; then the run is started again."""

    def must_start_again(self, status: JobStatus) -> bool:
        """Return whether the run, whose job has ended, has to be started by this command."""
        if status.exit_code == 0 or self.task.run.is_finished or self.was_cancelled_since():
            return False
        return self.is_ending or self.task.dispatch.may_take_over(self.handle, status)

    def was_cancelled_since(self) -> bool:
        """Return whether `pgolf cancel` has stopped the run after this command attached to it."""
        is_cancelled = read_handle(self.task.run).get("stopped_by") == "cancel"
        return is_cancelled and self.handle.get("stopped_by") != "cancel"


class RunQueue:
    """Runs that wait and runs that are working."""

    def __init__(self, tasks: Sequence[Task], observer: Observer) -> None:
        self.waiting = list(tasks)
        self.observer = observer
        self.working: dict[str, Watched] = {}
        self.announced: set[str] = set()
        self.reported: dict[str, str] = {}
        self.silences: dict[str, Silence] = {}

    @property
    def is_empty(self) -> bool:
        return not self.waiting and not self.working

    def start_some(self) -> Iterator[Outcome]:
        """Start as many runs as there is room for. Yield those that are finished already or could not be started."""
        for task in [task for task in self.waiting if task.dispatch.fetch_if_finished(task.run)]:
            self.waiting.remove(task)
            yield Outcome(task.run, JobStatus("ended", 0))
        for name in dict.fromkeys(task.dispatch.launcher.name for task in self.waiting):
            yield from self.start_batch(self.next_batch(name))

    def next_batch(self, name: str) -> list[Task]:
        """Return the next runs for a launcher: one, or for a launcher that takes groups all of a spec that fit."""
        first = next(task for task in self.waiting if task.dispatch.launcher.name == name)
        dispatch, launcher = first.dispatch, first.dispatch.launcher
        busy = sum(watched.task.dispatch.launcher.name == name for watched in self.working.values())
        room = max(0, launcher.capacity(dispatch.job(first.run)) - busy)
        alike = [task for task in self.waiting if task.dispatch is dispatch]
        return alike[:room] if isinstance(launcher, GroupLauncher) else alike[: min(1, room)]

    def start_batch(self, batch: list[Task]) -> Iterator[Outcome]:
        """Start runs. Yield those that could not be started."""
        if not batch:
            return
        try:
            handles = batch[0].dispatch.submit([task.run for task in batch])
        except Busy as error:  # another command's runs hold the devices
            self.report_once(batch[0].run, f"waiting: {error}")
            return
        except Unreachable as error:
            for task in batch:
                status = JobStatus("unreachable", message=str(error))
                if complaint := self.wait_for_answer(task, status):
                    self.waiting.remove(task)
                    yield Outcome(task.run, JobStatus("ended", error.exit_code, complaint))
            return
        except LauncherError as error:
            for task in batch:
                self.waiting.remove(task)
                yield Outcome(task.run, JobStatus("ended", error.exit_code, str(error)))
            return
        for task, handle in zip(batch, handles, strict=True):
            self.waiting.remove(task)
            self.watch(task, handle)

    def watch(self, task: Task, handle: Handle) -> None:
        """Watch a job to its end, and report it if that will not be the end of the run."""
        run = task.run
        if run.run_id not in self.announced:
            self.announced.add(run.run_id)
            self.observer.run_started(run)
        why = None if task.dispatch.is_own(handle) else why_ending(handle)
        if why is not None:
            self.report_once(run, f"{why}; waiting for its trainer to end before continuing the run")
        self.working[run.run_id] = Watched(task, handle, is_ending=why is not None)

    def start_again(self, task: Task) -> None:
        """Put a run that another command had started first in line."""
        del self.working[task.run.run_id]
        self.report_once(task.run, "its trainer has ended without a result; this command continues the run")
        task.dispatch.update_document(task.run)
        self.waiting.insert(0, task)

    def poll(self) -> Iterator[Outcome]:
        """Yield the runs that have ended, with their files fetched."""
        for run_id, watched in list(self.working.items()):
            task, handle = watched.task, watched.handle
            launcher, run = task.dispatch.launcher, task.run
            try:
                status = launcher.status(handle)
            except LauncherError as error:  # trouble with one run ends neither it nor the others
                status = JobStatus("unreachable", message=str(error))
            if complaint := self.wait_for_answer(task, status):
                del self.working[run_id]
                yield Outcome(run, JobStatus("ended", Unreachable.exit_code, complaint))
                continue
            if status.state != "ended":
                continue
            if status.exit_code == ALREADY_RUNNING:
                task.dispatch.disown(handle)
                if run.is_alive:
                    continue
            if watched.must_start_again(status):
                self.start_again(task)
                continue
            try:
                launcher.fetch(handle, run)
            except Unreachable as error:
                self.report_once(run, f"{error}; the run has ended there, asking again")
                continue
            except LauncherError as error:
                status = JobStatus("ended", error.exit_code, str(error))
            del self.working[run_id]
            yield Outcome(run, status)

    def wait_for_answer(self, task: Task, status: JobStatus) -> str:
        """Say once that a machine does not answer; return why it is useless to wait any longer, or an empty text."""
        run, patience = task.run, patience_of({"options": task.dispatch.preflight.spec.launch.options})
        silence = self.silences.setdefault(run.run_id, Silence(run.run_id, patience))
        complaint = silence.complaint(status)
        if status.state == "unreachable" and not complaint:
            self.report_once(run, silence.announcement(status))
        return complaint

    def report_once(self, run: RunDirectory, trouble: str) -> None:
        """Report trouble with a run, unless it was the last thing reported about it."""
        if self.reported.get(run.run_id) != trouble:
            self.reported[run.run_id] = trouble
            self.observer.say(f"{run.run_id}: {trouble}")
