"""From an examined spec to a run on a launcher: create, submit once, attach to what already runs, never start twice."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pgolf.errors import UsageError
from pgolf.launching import Handle, Job, Launcher
from pgolf.preflight.examine import Preflight
from pgolf.preflight.prepared import run_documents
from pgolf.rundir import RunDirectory, attempts, new_attempt, read_or_empty, run_folder

# The trainer's way of saying that another one is at work in the same directory.
ALREADY_RUNNING = 75


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Runs of one spec on one launcher."""

    preflight: Preflight
    sources: dict[str, str]
    launcher: Launcher
    runs_dir: Path
    is_detached: bool = False
    is_fresh: bool = False
    started: list[Handle] = field(default_factory=list)
    """Jobs submitted by this very command."""

    def job(self, run: RunDirectory) -> Job:
        """The launcher's view of a run."""
        launch = self.preflight.spec.launch
        return Job(run=run, gpu=launch.gpu, options=launch.options, is_detached=self.is_detached)

    def directory(self, seed: int) -> RunDirectory:
        """The run directory of a seed: the latest attempt, or a new one with --fresh."""
        assert self.preflight.identity is not None
        folder = run_folder(self.runs_dir, self.preflight.spec.name, self.preflight.identity)
        earlier = attempts(folder, seed)
        return new_attempt(folder, seed) if self.is_fresh or not earlier else earlier[-1]

    def prepare(self, seed: int) -> RunDirectory:
        """The run directory of a seed, ready to be submitted, resumed or only read.

        Raises: UsageError when an earlier attempt ran under other code, data or torch.
        """
        run = self.directory(seed)
        spec, document = run_documents(self.preflight, run, seed, self.sources)
        before = run.read_run()
        if not before:
            run.create(spec, document, self.preflight.as_json())
        else:
            check_same_origin(run, before, document)
        return run

    def submit(self, run: RunDirectory) -> Handle:
        """The handle of a run: of the job that is already there when it lives, else of a new one."""
        handle = read_or_empty(run.handle)
        if handle and self.launcher.status(handle).state != "ended":
            return handle
        handle = self.launcher.submit(self.job(run))
        self.started.append(handle)
        return handle

    def carry_out(self, seeds: list[int], on_start: Callable[[RunDirectory], None]) -> Iterator[RunDirectory | None]:
        """Each run as it ends, and None at every look in between; as many at a time as the launcher takes.

        Finished runs are given back at once and not run again.
        """
        waiting = [self.prepare(seed) for seed in seeds]
        working: dict[str, tuple[RunDirectory, Handle]] = {}
        while waiting or working:
            while waiting and (waiting[0].is_finished or len(working) < self.launcher.capacity(self.job(waiting[0]))):
                run = waiting.pop(0)
                if run.is_finished:
                    yield run
                    continue
                handle = self.submit(run)
                on_start(run)
                working[run.run_id] = run, handle
            for run_id, (run, handle) in list(working.items()):
                status = self.launcher.status(handle)
                if status.state == "ended" and not (status.exit_code == ALREADY_RUNNING and run.is_alive):
                    del working[run_id]
                    self.launcher.fetch(handle, run)
                    yield run
            yield None

    def cancel_started(self) -> None:
        """Nothing; every run that was started here, and not only attached to, has been asked to stop."""
        for handle in self.started:
            self.launcher.cancel(handle)

    def living(self) -> list[Handle]:
        """Handles of the runs started here that are not over."""
        return [handle for handle in self.started if self.launcher.status(handle).state != "ended"]


def check_same_origin(run: RunDirectory, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Nothing, if a run may go on, or its result be reused, under what is installed now.

    Raises: UsageError naming what differs.
    """
    words = {"code_sha256": "trainer code", "data_sha256": "data", "torch": "torch"}
    for key, word in words.items():
        if before.get(key) != now[key]:
            then, here = str(before.get(key))[:12], str(now[key])[:12]
            raise UsageError(
                f"{run.root}: this run began with {word} {then}, here is {word} {here}; its numbers would mix the two. "
                "Go back, or start another attempt with --fresh"
            )
