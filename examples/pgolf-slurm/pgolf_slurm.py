"""pgolf runs as Slurm jobs: the worked example of a launcher plugin.

It is used where sbatch is, on a disk that the nodes share. A run's id is its job's name, so that a job whose number was
lost is found again. A job that is preempted or requeued goes on from its checkpoint, because the trainer does whenever
it is started in the same directory. Nothing here asks sacct, which many clusters do not have.
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
from pgolf.launching import Handle, Job, JobStatus
from pgolf.launching.commands import run_command
from pgolf.launching.doctor import run_doctor
from pgolf.launching.endings import ended_status
from pgolf.launching.handles import create_handle, record_state, record_stop_request, run_of, update_handle
from pgolf.launching.polling import follow_log
from pgolf.rundir import RunDirectory

AT_ONCE = 1000
# Between the signal that a time limit is near and the limit: time for a checkpoint.
WARNING_SECONDS = 60
QUEUED = {"PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "CONFIGURING", "SUSPENDED", "PREEMPTED"}
RUNNING = {"RUNNING", "COMPLETING", "SIGNALING", "STAGE_OUT", "STOPPED", "RESIZING"}


class SlurmLauncher:
    """Submits each run with sbatch, several seeds as one job array."""

    name: ClassVar[str] = "slurm"
    summary: ClassVar[str] = "a Slurm cluster, from a machine that has sbatch"
    is_remote: ClassVar[bool] = False

    class Options(BaseModel):
        """launch.options of this launcher."""

        model_config = ConfigDict(extra="forbid")

        partition: str | None = None
        """Null is the cluster's default."""
        account: str | None = None
        """Whom it is charged to."""
        gres: str | None = None
        """In place of gpu:KIND:NUMBER from launch.gpu; clusters name their GPUs as they like."""
        cores: Annotated[int, Field(ge=1)] | None = None
        """Cores of a job; null is one a process."""
        memory: str | None = None
        """As sbatch --mem has it, such as 64G."""
        minutes: Annotated[int, Field(ge=1)] | None = None
        """Time limit; null is the partition's, or what spend.usd buys."""
        extra: list[str] = []
        """Further words for sbatch."""
        usd_per_hour: Annotated[float, Field(ge=0)] | None = None
        """What a job costs, where somebody counts."""

    def check(self, job: Job) -> list[Finding]:
        options = self.Options.model_validate(job.options)
        try:
            partitions = run_command("sinfo", "--noheader", "--format=%R %a").split("\n")
        except LauncherError as error:
            return [Finding("fail", "slurm", str(error), "run pgolf on a login node, with SLURM_CONF as there")]
        up = [line.split()[0] for line in partitions if line.endswith(" up")]
        if options.partition is not None and options.partition not in up:
            message = f"partition {options.partition!r} is not there or not up; there is {', '.join(up)}"
            return [Finding("fail", "slurm", message, "launch.options.partition")]
        return [Finding("pass", "slurm", f"partitions {', '.join(up)} are up")]

    def examine(self, gpu: str | None, options: dict[str, Any]) -> list[Finding]:
        return run_doctor(gpu, ["srun", "--quiet", *self.resources(gpu, 1, self.Options.model_validate(options))])

    def capacity(self, job: Job) -> int:
        return AT_ONCE

    def submit(self, job: Job) -> Handle:
        return self.submit_all([job])[0]

    def submit_all(self, jobs: Sequence[Job]) -> list[Handle]:
        """Handles of jobs that differ in their run directories alone: one job, or an array of them."""
        handles = [self.adopt(job) for job in jobs]
        waiting = [job for job, handle in zip(jobs, handles, strict=True) if handle["job"] is None]
        numbers = iter(self.sbatch(waiting) if waiting else [])
        return [update_handle(handle, job=handle["job"] or next(numbers)) for handle in handles]

    def adopt(self, job: Job) -> Handle:
        """The handle of a job that is in the queue for this run already; without a number where there is none."""
        handle = create_handle(self.name, job.run, job=None)
        for line in run_command("squeue", "--noheader", "--array", "--me", "--format=%i %j %k").splitlines():
            number, name, *comment = line.split(maxsplit=2)
            if name == job.run.run_id or handle["run_dir"] in (comment or [""])[0].split(";"):
                index = 0 if name == job.run.run_id else comment[0].split(";").index(handle["run_dir"])
                if "_" not in number or number.endswith(f"_{index}"):
                    return handle | {"job": number}
        return handle

    def sbatch(self, jobs: list[Job]) -> list[str]:
        """The numbers of jobs that have been submitted, in one call that happens whole or not at all."""
        first = jobs[0]
        roots = [str(job.run.root.resolve()) for job in jobs]
        words = ["--parsable", "--open-mode=append", *time_words(first, options_of(first))]
        words += [f"--comment={';'.join(roots)}", *self.resources(first.gpu, first.processes, options_of(first))]
        if len(jobs) == 1:
            words += [f"--job-name={first.run.run_id}", f"--output={first.run.files.log.resolve()}"]
        else:
            words += [f"--job-name={first.run.root.parent.name}", f"--array=0-{len(jobs) - 1}", "--output=/dev/null"]
        number = run_command("sbatch", *words, stdin=script_of(roots, first.processes)).strip().partition(";")[0]
        return [number] if len(jobs) == 1 else [f"{number}_{index}" for index in range(len(jobs))]

    def resources(self, gpu: str | None, processes: int, options: "SlurmLauncher.Options") -> list[str]:
        """What to ask for, in sbatch's and srun's words."""
        words = ["--ntasks=1", f"--cpus-per-task={options.cores or processes}"]
        if gpu is not None:
            kind, _, number = gpu.replace("!", "").partition(":")
            words.append(f"--gres={options.gres or f'gpu:{kind.lower()}:{number or 1}'}")
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
        """Nothing; the disk is shared."""

    def cancel(self, handle: Handle) -> None:
        """Nothing; the job leaves a checkpoint and ends. Asked a second time, it is killed."""
        if record_stop_request(handle) or self.status(handle).state == "queued":
            run_command("scancel", handle["job"])
        else:
            run_command("scancel", "--batch", "--signal=TERM", handle["job"])  # without the hurry that scancel has


def status_of(facts: dict[str, str], run: RunDirectory) -> JobStatus:
    """What Slurm's words about a job mean."""
    state = facts.get("JobState", "")
    if state in QUEUED:
        return JobStatus("queued", message=facts.get("Reason", ""))
    if state in RUNNING or (not state and run.is_alive):
        return JobStatus("running")
    if run.is_finished or not state:  # a job that ended a few minutes ago is forgotten
        return ended_status(run, run.exit_code)
    code, killer = map(int, facts["ExitCode"].split(":"))
    status = ended_status(run, -killer or code)
    return replace(status, message=f"{status.message or 'the job ended'} (Slurm: {state})")


def time_words(job: Job, options: SlurmLauncher.Options) -> list[str]:
    """How long a job may last, for sbatch. Under a cap it is not requeued, for that would begin its time anew."""
    limits = [] if options.minutes is None else [60 * options.minutes]
    limits += [] if job.limit_seconds is None else [max(60, math.floor(job.limit_seconds))]
    words = ["--requeue" if job.limit_seconds is None else "--no-requeue"]
    if limits:
        words.append(f"--time={max(1, min(limits) // 60)}")
    return [*words, f"--signal=B:TERM@{min([WARNING_SECONDS, *(limit // 3 for limit in limits)])}"]


def options_of(job: Job) -> SlurmLauncher.Options:
    return SlurmLauncher.Options.model_validate(job.options)


def script_of(roots: list[str], processes: int) -> str:
    """The batch script: the trainer takes the shell's place, so that signals reach it."""
    lines = [
        "#!/bin/bash",
        f"roots=({' '.join(map(shlex.quote, roots))})",
        'root="${roots[${SLURM_ARRAY_TASK_ID:-0}]}"',
    ]
    command = f'{shlex.quote(sys.executable)} -P -m trainer "$root" --processes {processes}'
    return "\n".join([*lines, f'exec {command} >> "$root/train.log" 2>&1', ""])


def show_job(number: str) -> dict[str, str]:
    """What scontrol knows of a job or a member of an array; empty when it has forgotten it.

    Raises: LauncherError when the controller does not answer.
    """
    try:
        lines = run_command("scontrol", "--oneliner", "show", "job", number).splitlines()
    except LauncherError as error:
        if "Invalid job id" in str(error):
            return {}
        raise
    rows = [dict(word.partition("=")[::2] for word in line.split()) for line in lines]
    wanted = number.partition("_")[2]
    return next((row for row in rows if not wanted or row.get("ArrayTaskId") == wanted), {})
