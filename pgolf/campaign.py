"""Runs of one spec or of many, as many at a time as the places take where they run."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pgolf.dispatch import Dispatch
from pgolf.errors import Busy, LauncherError, Unreachable, UsageError
from pgolf.launching import GroupLauncher, Handle, JobStatus
from pgolf.rundir import RunDirectory
from trainer.recipe.exit_codes import ALREADY_RUNNING


@dataclass(frozen=True, slots=True)
class Task:
    """A run that is to be carried out, prepared."""

    dispatch: Dispatch
    run: RunDirectory


@dataclass(frozen=True, slots=True)
class Outcome:
    """A run and how its job ended."""

    run: RunDirectory
    status: JobStatus


def tasks_of(dispatch: Dispatch, seeds: Sequence[int]) -> list[Task]:
    """The runs of some seeds, each with a run directory.

    Raises: UsageError when an earlier attempt ran under other code, data or torch.
    """
    return [Task(dispatch, dispatch.prepare(seed)) for seed in seeds]


def carry_out(
    tasks: Sequence[Task], on_start: Callable[[RunDirectory], None], on_trouble: Callable[[str], None]
) -> Iterator[Outcome | None]:
    """How each run ended, and None at every look in between; as many at a time as the launchers take.

    Finished runs are given back at once and not run again. One that fails takes no other along.
    """
    queue = RunQueue(tasks, on_start, on_trouble)
    while not queue.is_empty:
        yield from queue.start_some()
        yield from queue.look()
        yield None


def leave_alone(tasks: Sequence[Task]) -> list[Outcome]:
    """The runs, all of them started and left to themselves.

    Raises: UsageError when a launcher does not take so many at once.
    """
    waiting = [task for task in tasks if not task.dispatch.is_done(task.run)]
    for name in dict.fromkeys(task.dispatch.launcher.name for task in waiting):
        there = [task for task in waiting if task.dispatch.launcher.name == name]
        capacity = there[0].dispatch.launcher.capacity(there[0].dispatch.job(there[0].run))
        if len(there) > capacity:
            raise UsageError(
                f"--detach would start {len(there)} runs at once, {name} takes {capacity} here; "
                "leave out --detach, or start them one after the other"
            )
    for dispatch in {id(task.dispatch): task.dispatch for task in waiting}.values():
        dispatch.submit([task.run for task in waiting if task.dispatch is dispatch])
    ended, started = JobStatus("ended", 0), JobStatus("running")
    return [Outcome(task.run, ended if task.run.is_finished else started) for task in tasks]


class RunQueue:
    """Runs that wait, and runs that are at work."""

    def __init__(
        self, tasks: Sequence[Task], on_start: Callable[[RunDirectory], None], on_trouble: Callable[[str], None]
    ) -> None:
        self.waiting = list(tasks)
        self.on_start, self.on_trouble = on_start, on_trouble
        self.working: dict[str, tuple[Task, Handle]] = {}
        self.said: dict[str, str] = {}

    @property
    def is_empty(self) -> bool:
        return not self.waiting and not self.working

    def start_some(self) -> Iterator[Outcome]:
        """Runs that need no start, or could not be started; those there is room for are at work."""
        for task in [task for task in self.waiting if task.dispatch.is_done(task.run)]:
            self.waiting.remove(task)
            yield Outcome(task.run, JobStatus("ended", 0))
        for name in dict.fromkeys(task.dispatch.launcher.name for task in self.waiting):
            yield from self.start_batch(self.next_batch(name))

    def next_batch(self, name: str) -> list[Task]:
        """What to submit next on a launcher: all of one spec that there is room for where it takes groups, else one."""
        first = next(task for task in self.waiting if task.dispatch.launcher.name == name)
        dispatch, launcher = first.dispatch, first.dispatch.launcher
        busy = sum(task.dispatch.launcher.name == name for task, _ in self.working.values())
        room = max(0, launcher.capacity(dispatch.job(first.run)) - busy)
        alike = [task for task in self.waiting if task.dispatch is dispatch]
        return alike[:room] if isinstance(launcher, GroupLauncher) else alike[: min(1, room)]

    def start_batch(self, batch: list[Task]) -> Iterator[Outcome]:
        """Runs that could not be started; the others are at work."""
        if not batch:
            return
        try:
            handles = batch[0].dispatch.submit([task.run for task in batch])
        except (Busy, Unreachable) as error:  # another command's runs have what these need, or nobody answers
            self.say_once(batch[0].run, f"waiting: {error}")
            return
        except LauncherError as error:
            for task in batch:
                self.waiting.remove(task)
                yield Outcome(task.run, JobStatus("ended", error.exit_code, str(error)))
            return
        for task, handle in zip(batch, handles, strict=True):
            self.waiting.remove(task)
            self.on_start(task.run)
            self.working[task.run.run_id] = task, handle

    def look(self) -> Iterator[Outcome]:
        """Runs that have ended, with what they wrote."""
        for run_id, (task, handle) in list(self.working.items()):
            launcher, run = task.dispatch.launcher, task.run
            try:
                status = launcher.status(handle)
            except LauncherError as error:  # trouble with one run is no end of it, nor of the others
                status = JobStatus("unreachable", message=str(error))
            if status.state == "unreachable":
                self.say_once(run, f"{status.message}; it may go on there, asking again")
            if status.state != "ended" or (status.exit_code == ALREADY_RUNNING and run.is_alive):
                continue
            try:
                launcher.fetch(handle, run)
            except Unreachable as error:
                self.say_once(run, f"{error}; it has ended there, asking again")
                continue
            except LauncherError as error:
                status = JobStatus("ended", error.exit_code, str(error))
            del self.working[run_id]
            yield Outcome(run, status)

    def say_once(self, run: RunDirectory, trouble: str) -> None:
        """Nothing; the same words about the same run are said once."""
        if self.said.get(run.run_id) != trouble:
            self.said[run.run_id] = trouble
            self.on_trouble(f"{run.run_id}: {trouble}")
