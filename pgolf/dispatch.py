"""From an examined spec to its runs on a launcher: create, submit once, attach to what runs, never start twice."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pgolf.errors import UsageError
from pgolf.launching import GroupLauncher, Handle, Job, Launcher, check_options, read_handle
from pgolf.parents import Parent
from pgolf.preflight.cost import seconds_for
from pgolf.preflight.examined import Examined
from pgolf.preflight.prepared import run_documents
from pgolf.rundir import RunDirectory, attempts, new_attempt, run_folder
from trainer.recipe.files import write_json

# What may change from one attempt to the next: the place of the same data, the stop rule and what it compares with, the
# price.
NOT_IDENTITY = ("data_folder", "stop", "plan", "usd_per_hour", "withheld")


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Runs of one spec on one launcher."""

    preflight: Examined
    origin: dict[str, Any]
    """What spec.json says of where its values came from."""
    launcher: Launcher
    runs_dir: Path
    is_detached: bool = False
    is_fresh: bool = False
    parent: Parent | None = None
    """The run whose weights these runs begin with; None where they train."""
    runs: int = 1
    """How many runs share the spending cap."""
    started: list[Handle] = field(default_factory=list)
    """Jobs submitted by this very command."""

    def job(self, run: RunDirectory) -> Job:
        """The launcher's view of a run."""
        return job_of(run, self.preflight, self.runs, self.is_detached)

    def directory(self, seed: int) -> RunDirectory:
        """The run directory of a seed: the latest attempt, or a new one with --fresh."""
        assert self.preflight.identity is not None
        origin = None if self.parent is None else str(self.parent.as_json()["spec_sha256"])
        folder = run_folder(self.runs_dir, self.preflight.spec.name, self.preflight.identity, origin)
        earlier = attempts(folder, seed)
        return new_attempt(folder, seed) if self.is_fresh or not earlier else earlier[-1]

    def prepare(self, seed: int) -> RunDirectory:
        """The run directory of a seed, ready to be submitted, resumed or only read.

        Raises: UsageError when an earlier attempt ran under other code, data or torch.
        """
        run = self.directory(seed)
        spec, document = run_documents(self.preflight, run, seed, self.origin)
        if self.launcher.is_remote:
            document["torch"] = None  # that of the machine it runs on stands in the environment
        before = run.read_run()
        if self.parent is not None:
            self.parent.check_same_origin(document)
        if not before:
            if self.parent is not None:
                self.parent.hand_down(run)
                document["parent"] = self.parent.as_json()
            document["token"] = secrets.token_hex(4)  # of two commands at once, one writes run.json
            examined = self.preflight
            run.create(spec, document, examined.as_json(), examined.own_files(), examined.packed_program)
        else:
            check_same_origin(run, before, document)
            now = {key: document[key] for key in NOT_IDENTITY if key in document}
            if any(before.get(key) != value for key, value in now.items()) and not run.is_alive:
                write_json(run.files.run, before | now)
        return run

    def is_done(self, run: RunDirectory) -> bool:
        """Whether a run needs no start: it is finished here, or it was elsewhere and has now been brought home."""
        if not run.is_finished and run.state == "unfetched":
            self.launcher.fetch(read_handle(run), run)
        return run.is_finished

    def to_start(self, seeds: list[int]) -> list[int]:
        """The seeds for which a job has to be started: neither finished, here or elsewhere, nor at work."""
        idle = ("prepared", "stopped", "failed")
        return [seed for seed in seeds if self.directory(seed).state in idle]

    def submit(self, runs: list[RunDirectory]) -> list[Handle]:
        """The handle of each run: of the job that is already there when it lives, else of a new one."""
        handles = {run.run_id: read_handle(run) for run in runs}
        settled = {key for key, handle in handles.items() if handle and self.needs_no_start(handle)}
        for run, handle in self.submit_new([run for run in runs if run.run_id not in settled]):
            self.started.append(handle)
            handles[run.run_id] = handle
        return [handles[run.run_id] for run in runs]

    def needs_no_start(self, handle: Handle) -> bool:
        """Whether a job lives, or has ended so well that its files have only to be brought home."""
        status = self.launcher.status(handle)
        return status.state != "ended" or status.exit_code == 0

    def submit_new(self, runs: list[RunDirectory]) -> Iterator[tuple[RunDirectory, Handle]]:
        """Runs with the handles of their new jobs, each as soon as it has been submitted."""
        jobs = [self.job(run) for run in runs]
        if len(jobs) > 1 and isinstance(self.launcher, GroupLauncher):
            yield from zip(runs, self.launcher.submit_all(jobs), strict=True)
        else:
            yield from ((run, self.launcher.submit(job)) for run, job in zip(runs, jobs, strict=True))

    def cancel_started(self) -> None:
        """Nothing; every run that was started here, and not only attached to, has been asked to stop."""
        for handle in self.started:
            self.launcher.cancel(handle)

    def living(self) -> list[Handle]:
        """Handles of the runs started here that are not over."""
        return [handle for handle in self.started if self.launcher.status(handle).state != "ended"]


def with_launcher_findings(preflight: Examined, launcher: Launcher, runs_dir: Path, runs: int) -> Examined:
    """The preflight with what the launcher has to say about it.

    Raises: LauncherError when the launcher does not understand its options.
    """
    check_options(launcher, preflight.spec.launch.options)
    run = RunDirectory(runs_dir / preflight.spec.name / "seed-0")  # stands for any of them; nothing is written
    return preflight.with_findings(launcher.check(job_of(run, preflight, runs, is_detached=False)))


def job_of(run: RunDirectory, preflight: Examined, runs: int, is_detached: bool) -> Job:
    """A run as a launcher sees it."""
    spec, located = preflight.spec, preflight.located
    return Job(
        run=run,
        gpu=spec.launch.gpu,
        processes=preflight.processes,
        options=spec.launch.options,
        is_detached=is_detached,
        libraries=preflight.libraries,
        data_bytes=0 if located is None else sum(file.stat().st_size for file in located.folder.iterdir()),
        disk_bytes=preflight.disk_bytes,
        planned_seconds=preflight.planned_seconds,
        limit_seconds=seconds_for(spec.spend.usd, spec.launch, runs),
    )


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
