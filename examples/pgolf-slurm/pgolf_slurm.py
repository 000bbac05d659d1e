"""The Slurm launcher: pgolf runs as Slurm jobs. It is the worked example of a launcher plugin.

pgolf runs where sbatch is, on a disk shared with the nodes. A job is named after its run's id, so that a job whose
number was lost is found again. A preempted or requeued job resumes from its checkpoint, because the trainer does so
whenever it is started in the same directory. sacct is not needed; many clusters do not have it.
"""

import math
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from pgolf.errors import LauncherError
from pgolf.findings import Finding
from pgolf.gpus import parse_gpus
from pgolf.launching import Handle, Job, JobStatus
from pgolf.launching.commands import run_command
from pgolf.launching.doctor import run_doctor
from pgolf.launching.endings import ended_status
from pgolf.launching.handles import create_handle, record_state, record_stop_request, run_of, update_handle
from pgolf.launching.polling import follow_log
from pgolf.rundir import RunDirectory
from trainer.recipe.exit_codes import INTERRUPTED

MAX_JOBS = 1000
# So long before the time limit Slurm sends SIGTERM: time for a checkpoint.
WARNING_SECONDS = 60
QUEUED = {"PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "CONFIGURING", "SUSPENDED", "PREEMPTED"}
RUNNING = {"RUNNING", "COMPLETING", "SIGNALING", "STAGE_OUT", "STOPPED", "RESIZING"}
# scontrol has one exit code for all failures, so its message is matched.
UNKNOWN_JOB = "Invalid job id"


class SlurmLauncher:
    """Submits each run with sbatch, several seeds as one job array."""

    name: ClassVar[str] = "slurm"
    summary: ClassVar[str] = "a Slurm cluster, from a machine that has sbatch"
    is_remote: ClassVar[bool] = False

    class Options(BaseModel):
        """launch.options of this launcher."""

        model_config = ConfigDict(extra="forbid")

        partition: str | None = None
        """Partition; null for the cluster's default."""
        account: str | None = None
        """Account to charge."""
        gres: str | None = None
        """Replaces gpu:KIND:NUMBER, made from launch.gpu, on clusters with other names for GPUs."""
        cores: Annotated[int, Field(ge=1)] | None = None
        """Cores of a job; null for one per process."""
        memory: str | None = None
        """Memory as in `sbatch --mem`, such as 64G."""
        minutes: Annotated[int, Field(ge=1)] | None = None
        """Time limit; null for the partition's, or for what spend.usd pays for."""
        extra: list[str] = []
        """More arguments for sbatch."""
        usd_per_hour: Annotated[float, Field(ge=0)] | None = None
        """Price of a job, for spend.usd."""

    def check(self, job: Job) -> list[Finding]:
        options = self.Options.model_validate(job.options)
        try:
            partitions = run_command("sinfo", "--noheader", "--format=%R %a").split("\n")
        except LauncherError as error:
            return [Finding("fail", "slurm", str(error), "run pgolf on a login node, with its SLURM_CONF")]
        up = [line.split()[0] for line in partitions if line.endswith(" up")]
        if options.partition is not None and options.partition not in up:
            message = f"partition {options.partition!r} is unknown or not up; up are {', '.join(up)}"
            return [Finding("fail", "slurm", message, "set launch.options.partition")]
        return [Finding("pass", "slurm", f"partitions {', '.join(up)} are up")]

    def doctor(self, gpu: str | None, options: dict[str, Any]) -> list[Finding]:
        return run_doctor(gpu, ["srun", "--quiet", *self.resources(gpu, 1, self.Options.model_validate(options))])

    def capacity(self, job: Job) -> int:
        return MAX_JOBS

    def submit(self, job: Job) -> Handle:
        return self.submit_all([job])[0]

    def submit_all(self, jobs: Sequence[Job]) -> list[Handle]:
        """Submit jobs that differ in their run directories only: one job, or one job array."""
        handles = [self.find_job(job) for job in jobs]
        waiting = [job for job, handle in zip(jobs, handles, strict=True) if handle["job"] is None]
        numbers = iter(self.sbatch(waiting) if waiting else [])
        return [update_handle(handle, job=handle["job"] or next(numbers)) for handle in handles]

    def find_job(self, job: Job) -> Handle:
        """Return the handle of the job that is queued for this run already; its number is None if there is none."""
        handle = create_handle(self.name, job.run, job=None)
        for line in run_command("squeue", "--noheader", "--array", "--me", "--format=%i %j %k").splitlines():
            number, name, *comment = line.split(maxsplit=2)
            if name == job.run.run_id or handle["run_dir"] in (comment or [""])[0].split(";"):
                index = 0 if name == job.run.run_id else comment[0].split(";").index(handle["run_dir"])
                if "_" not in number or number.endswith(f"_{index}"):
                    return handle | {"job": number}
        return handle

    def sbatch(self, jobs: list[Job]) -> list[str]:
        """Submit jobs with a single call of sbatch, which fails for all or none, and return their numbers."""
        first = jobs[0]
        roots = [str(job.run.root.resolve()) for job in jobs]
        words = ["--parsable", "--open-mode=append", *time_limit(first, options_of(first))]
        words += [f"--comment={';'.join(roots)}", *self.resources(first.gpu, first.processes, options_of(first))]
        if len(jobs) == 1:
            words += [f"--job-name={first.run.run_id}", f"--output={first.run.files.log.resolve()}"]
        else:
            words += [f"--job-name={first.run.root.parent.name}", f"--array=0-{len(jobs) - 1}", "--output=/dev/null"]
        number = run_command("sbatch", *words, stdin=script_of(roots, first.processes)).strip().partition(";")[0]
        return [number] if len(jobs) == 1 else [f"{number}_{index}" for index in range(len(jobs))]

    def resources(self, gpu: str | None, processes: int, options: "SlurmLauncher.Options") -> list[str]:
        """Return the arguments of sbatch and srun that request resources."""
        words = ["--ntasks=1", f"--cpus-per-task={options.cores or processes}"]
        if gpu is not None:
            gpus = parse_gpus(gpu)
            words.append(f"--gres={options.gres or f'gpu:{gpus.kind.lower()}:{gpus.number}'}")
        words += [] if options.partition is None else [f"--partition={options.partition}"]
        words += [] if options.account is None else [f"--account={options.account}"]
        words += [] if options.memory is None else [f"--mem={options.memory}"]
        return [*words, *options.extra]

    def status(self, handle: Handle) -> JobStatus:
        run = run_of(handle)
        try:
            return record_state(run, status_of(show_job(handle["job"]), run))
        except LauncherError as error:
            return JobStatus("unreachable", message=str(error))

    def logs(self, handle: Handle, follow: bool) -> Iterator[str]:
        return follow_log(handle, self.status, follow)

    def fetch(self, handle: Handle, run: RunDirectory) -> None:
        """Do nothing: the disk is shared."""

    def cancel(self, handle: Handle) -> None:
        """Ask the job to write a checkpoint and end. A queued job, or one asked a second time, is ended at once."""
        is_urgent = record_stop_request(handle) or self.status(handle).state == "queued"
        # A plain scancel leaves no time for a checkpoint.
        run_command("scancel", *([] if is_urgent else ["--batch", "--signal=TERM"]), handle["job"])


def status_of(facts: dict[str, str], run: RunDirectory) -> JobStatus:
    """Return the status that Slurm's facts about a job describe."""
    state = facts.get("JobState", "")
    if state in QUEUED:
        return JobStatus("queued", message=facts.get("Reason", ""))
    if state in RUNNING or (not state and run.is_alive):
        return JobStatus("running")
    if run.is_finished or not state:  # Slurm forgets a job some minutes after its end
        return ended_status(run, run.exit_code)
    code, killer = map(int, facts["ExitCode"].split(":"))
    status = ended_status(run, -killer or code or INTERRUPTED)  # a job cancelled in the queue ends with code 0
    return replace(status, message=f"{status.message or 'the job ended'} (Slurm: {state})")


def time_limit(job: Job, options: SlurmLauncher.Options) -> list[str]:
    """Return the arguments of sbatch that limit a job's time. Requeuing restarts the time, so not under a cap."""
    limits = [] if options.minutes is None else [60 * options.minutes]
    limits += [] if job.limit_seconds is None else [max(60, math.floor(job.limit_seconds))]
    words = ["--requeue" if job.limit_seconds is None else "--no-requeue"]
    if limits:
        words.append(f"--time={max(1, min(limits) // 60)}")
    return [*words, f"--signal=B:TERM@{min([WARNING_SECONDS, *(limit // 3 for limit in limits)])}"]


def options_of(job: Job) -> SlurmLauncher.Options:
    return SlurmLauncher.Options.model_validate(job.options)


def script_of(roots: list[str], processes: int) -> str:
    """Return the batch script. The trainer replaces the shell, so that it receives the signals."""
    lines = [
        "#!/bin/bash",
        f"roots=({' '.join(map(shlex.quote, roots))})",
        'root="${roots[${SLURM_ARRAY_TASK_ID:-0}]}"',
    ]
    command = f'{shlex.quote(sys.executable)} -P -m trainer "$root" --processes {processes}'
    return "\n".join([*lines, f'exec {command} >> "$root/train.log" 2>&1', ""])


def show_job(number: str) -> dict[str, str]:
    """Return what scontrol knows of a job or a member of a job array; empty if it has forgotten the job.

    Raises:
        LauncherError: the controller does not answer.
    """
    try:
        lines = run_command("scontrol", "--oneliner", "show", "job", number).splitlines()
    except LauncherError as error:
        if UNKNOWN_JOB in str(error):
            return {}
        raise
    rows = [dict(word.partition("=")[::2] for word in line.split()) for line in lines]
    wanted = number.partition("_")[2]
    return next((row for row in rows if not wanted or row.get("ArrayTaskId") == wanted), {})
