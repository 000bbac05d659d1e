"""From a preflight to runs on a launcher: create run directories, submit each once, attach to what already runs."""

import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pgolf.campaign.from_checkpoint import Parent
from pgolf.campaign.run_documents import run_documents
from pgolf.errors import Unreachable, UsageError
from pgolf.launching import GroupLauncher, Handle, Job, JobStatus, Launcher, check_options, read_handle
from pgolf.launching.handles import ask_to_stop, is_given_up, why_ending
from pgolf.preflight.cost import affordable_seconds
from pgolf.preflight.preflight import Preflight
from pgolf.rundir import RunDirectory, attempts, new_attempt, run_folder
from trainer.recipe.exit_codes import ALREADY_RUNNING, INTERRUPTED
from trainer.recipe.writing import write_json

# Keys of run.json that may change between attempts of a run: none of them changes what is computed.
NOT_IDENTITY = ("threads", "data_folder", "stop", "plan", "usd_per_hour", "withheld", "launcher", "gpu", "device")


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Runs of one spec on one launcher."""

    preflight: Preflight
    sources: dict[str, Any]
    """What spec.json says about where its values came from."""
    launcher: Launcher
    runs_dir: Path
    is_detached: bool = False
    is_fresh: bool = False
    parent: Parent | None = None
    """The run whose weights these runs start from; None where they train."""
    runs: int = 1
    """Number of runs that share the spending cap."""
    moving: frozenset[str] = frozenset()
    """Ids of the runs that leave the place they were started at."""
    started: list[Handle] = field(default_factory=list)
    """Jobs that this command submitted."""

    def job(self, run: RunDirectory) -> Job:
        """Return a run as the launcher sees it."""
        return job_of(run, self.preflight, self.runs, self.is_detached)

    def directory(self, seed: int) -> RunDirectory:
        """Return the run directory of a seed: the latest attempt, or a new one with --fresh."""
        assert self.preflight.identity is not None
        parent_sha256 = None if self.parent is None else str(self.parent.as_json()["spec_sha256"])
        folder = run_folder(self.runs_dir, self.preflight.spec.name, self.preflight.identity, parent_sha256)
        earlier = attempts(folder, seed)
        return new_attempt(folder, seed) if self.is_fresh or not earlier else earlier[-1]

    def prepare(self, seed: int) -> RunDirectory:
        """Create the run directory of a seed, or check that an earlier attempt may go on.

        Raises:
            UsageError: the earlier attempt ran under other code, data or torch.
        """
        run = self.directory(seed)
        spec, document = self.documents(run)
        before = run.read_run()
        if self.parent is not None:
            self.parent.check_same_data(document)
        if not before:
            if self.parent is not None:
                self.parent.copy_weights_to(run)
                document["parent"] = self.parent.as_json()
            document["token"] = secrets.token_hex(4)  # of two commands at once, only one writes run.json
            preflight = self.preflight
            run.create(spec, document, preflight.as_json(), preflight.own_files, preflight.packed_program)
        else:
            check_may_continue(run, before, document)
            self.update_document(run)
        return run

    def documents(self, run: RunDirectory) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return spec.json and run.json of a run that begins now."""
        spec, document = run_documents(self.preflight, run, run.seed, self.sources)
        if self.launcher.is_remote:
            document["torch"] = None  # the remote machine has its own, which the environment records
        return spec, document

    def update_document(self, run: RunDirectory) -> None:
        """Write what may change between attempts to run.json, unless a trainer is at work."""
        before, document = run.read_run(), self.documents(run)[1]
        now = {key: document[key] for key in NOT_IDENTITY if key in document}
        is_changed = any(before.get(key) != value for key, value in now.items())
        if is_changed and self.has_to_start(run) and not run.is_alive:
            write_json(run.files.run, before | now)

    def fetch_if_finished(self, run: RunDirectory) -> bool:
        """Fetch a run if it finished on another machine, and return whether it is finished."""
        if run.state == "unfetched" and run.run_id not in self.moving:
            self.launcher.fetch(read_handle(run), run)
        return run.is_finished

    def to_start(self, seeds: list[int]) -> list[int]:
        """Return the seeds for which a job has to be started: neither finished nor running, here or elsewhere."""
        return [seed for seed in seeds if self.has_to_start(self.directory(seed))]

    def has_to_start(self, run: RunDirectory) -> bool:
        """Return whether a job has to be started for a run: it has none, leaves its place, or is about to end."""
        return run.run_id in self.moving or needs_start(run)

    def submit(self, runs: list[RunDirectory]) -> list[Handle]:
        """Return a handle for each run: of its job if that has not ended, else of a new job."""
        handles = {run.run_id: read_handle(run) for run in runs}
        settled = {key for key, handle in handles.items() if self.may_live(key, handle) and self.needs_no_start(handle)}
        for run, handle in self.submit_new([run for run in runs if run.run_id not in settled]):
            self.started.append(handle)
            handles[run.run_id] = handle
        return [handles[run.run_id] for run in runs]

    def may_live(self, run_id: str, handle: Handle) -> bool:
        """Return whether a run has a job that its launcher is to be asked for: it is not moving, nor given up."""
        return bool(handle) and run_id not in self.moving and not is_given_up(handle)

    def needs_no_start(self, handle: Handle) -> bool:
        """Return whether a job lives, or has succeeded and only has to be fetched."""
        status = self.launcher.status(handle)
        return status.state != "ended" or status.exit_code == 0

    def submit_new(self, runs: list[RunDirectory]) -> Iterator[tuple[RunDirectory, Handle]]:
        """Submit jobs, and yield each run with its handle as soon as it is submitted."""
        jobs = [self.job(run) for run in runs]
        if len(jobs) > 1 and isinstance(self.launcher, GroupLauncher):
            yield from zip(runs, self.launcher.submit_all(jobs), strict=True)
        else:
            yield from ((run, self.launcher.submit(job)) for run, job in zip(runs, jobs, strict=True))

    def is_own(self, handle: Handle) -> bool:
        """Return whether this command submitted a job, and did not only attach to it."""
        return any(handle is own for own in self.started)

    def disown(self, handle: Handle) -> None:
        """Forget a job of this command in whose place another command's carries out the run."""
        self.started[:] = [own for own in self.started if own is not handle]

    def may_take_over(self, handle: Handle, status: JobStatus) -> bool:
        """Return whether this command starts a run again whose job, started by another command, has ended.

        It does if the job was stopped or killed, as happens when the other command is. It does not after a failure of
        the run itself, nor on another machine, where a job ends with no command and costs money.
        """
        is_stopped_or_killed = status.exit_code in (INTERRUPTED, ALREADY_RUNNING, None)
        return is_stopped_or_killed and not self.launcher.is_remote and not self.is_own(handle)

    def cancel_started(self) -> None:
        """Ask every run that this command started to stop; runs it only attached to go on."""
        for handle in self.started:
            with suppress(Unreachable):  # it was reported, and goes on
                ask_to_stop(self.launcher, handle, "interrupt")

    def unended(self) -> list[Handle]:
        """Return the handles of the runs started here that have not ended."""
        return [handle for handle in self.started if self.launcher.status(handle).state != "ended"]


def needs_start(run: RunDirectory) -> bool:
    """Return whether a run is neither finished nor running, or is about to end without a result."""
    state = run.state
    if state in ("queued", "running"):
        return why_ending(read_handle(run)) is not None
    return state in ("prepared", "stopped", "failed")


def with_launcher_findings(preflight: Preflight, launcher: Launcher, runs_dir: Path, runs: int) -> Preflight:
    """Return the preflight with the launcher's own findings.

    Raises:
        LauncherError: an option of the launcher is wrong.
    """
    check_options(launcher, preflight.spec.launch.options)
    run = RunDirectory(runs_dir / preflight.spec.name / "seed-0")  # a placeholder: nothing is written
    return preflight.with_findings(*launcher.check(job_of(run, preflight, runs, is_detached=False)))


def job_of(run: RunDirectory, preflight: Preflight, runs: int, is_detached: bool) -> Job:
    """Return a run as a launcher sees it."""
    spec, located = preflight.spec, preflight.located
    return Job(
        run=run,
        gpu=spec.launch.gpu,
        processes=spec.processes,
        options=spec.launch.options,
        is_detached=is_detached,
        libraries=preflight.libraries,
        data_bytes=0 if located is None else sum(file.stat().st_size for file in located.folder.iterdir()),
        disk_bytes=preflight.disk_bytes,
        planned_seconds=preflight.planned_seconds,
        limit_seconds=remaining_seconds(run, affordable_seconds(spec.spend.usd, spec.launch, runs)),
    )


def remaining_seconds(run: RunDirectory, seconds: float | None) -> float | None:
    """Return what earlier attempts of a run have left of the seconds that its spending cap pays for."""
    return None if seconds is None else max(0.0, seconds - sum(run.read_attempts()))


def check_may_continue(run: RunDirectory, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Check that a run may go on, or its result be reused, under what is installed now.

    Raises:
        UsageError: code, data or torch differ; names both.
    """
    words = {"code_sha256": "trainer code", "data_sha256": "data", "torch": "torch"}
    if None in (before.get("torch"), now["torch"]):  # on another machine, whose trainer compares it before it resumes
        del words["torch"]
    for key, word in words.items():
        if before.get(key) != now[key]:
            then, here = str(before.get(key))[:12], str(now[key])[:12]
            raise UsageError(
                f"{run.root}: this run began with {word} {then}, but would go on with {word} {here}. "
                f"Go back to the first {word}, or start another attempt with --fresh"
            )
