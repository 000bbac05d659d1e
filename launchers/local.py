"""This machine: its CPU, or its CUDA devices, one a process.

The trainer is a child in a session of its own, so that Ctrl-C reaches it once and through us. It holds one end of a
pipe, this process the other: however this process ends, the pipe closes, and the trainer checkpoints and ends as
well. A detached trainer gets no pipe. Its log, its state and its result are files in the run directory, and so there
is nothing to fetch.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from launchers.devices import HeldDevices, cuda_devices, hold_devices
from pgolf.errors import LauncherError
from pgolf.findings import Finding
from pgolf.launching import Handle, Job, JobStatus, is_device, write_handle
from pgolf.launching.doctor import checkup_arguments, findings_of
from pgolf.rundir import RunDirectory, follow_file
from trainer.recipe.exit_codes import describe_exit


class LocalLauncher:
    """Runs jobs as processes of this machine."""

    name: ClassVar[str] = "local"
    summary: ClassVar[str] = "this machine: its CPU, or one CUDA device a process"
    is_remote: ClassVar[bool] = False

    class Options(BaseModel):
        """This launcher has no options."""

        model_config = ConfigDict(extra="forbid")

    def __init__(self) -> None:
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        self.lifelines: dict[str, int] = {}

    def check(self, job: Job) -> list[Finding]:
        return [self.check_device(job)]

    def check_device(self, job: Job) -> Finding:
        """Whether the devices are here."""
        cores = len(os.sched_getaffinity(0))
        if job.gpu is None and job.processes > cores:
            fix = f"--set launch.processes={cores}"
            return Finding("warn", "device", f"{job.processes} processes share {cores} cores, and take turns", fix)
        if job.gpu is None:
            return Finding("pass", "device", f"CPU with {cores} cores, {cores // job.processes} a process")
        names = self.cuda
        if len(names) < job.processes:
            fix = "--set launch.gpu=null for the CPU, or another launcher with --on"
            found = f"nvidia-smi finds {len(names) or 'no'} GPU here"
            return Finding("fail", "device", f"{job.gpu} is asked for, one a process; {found}", fix)
        if not any(is_device(job.gpu, name) for name in names.values()):
            found = ", ".join(names.values())
            return Finding("warn", "device", f"{job.gpu} is asked for, here is {found}; times will differ")
        return Finding("pass", "device", f"{len(names)} x {next(iter(names.values()))}")

    def examine(self, gpu: str | None, options: dict[str, Any]) -> list[Finding]:
        command = [sys.executable, *checkup_arguments(str(Path.cwd()), gpu)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        return findings_of(ended.stdout, ended.stderr.strip())

    @cached_property
    def cuda(self) -> dict[str, str]:
        """The devices, asked for once: the question takes a moment, and runs are timed."""
        return cuda_devices()

    def capacity(self, job: Job) -> int:
        return 1 if job.gpu is None else max(1, len(self.cuda) // job.processes)

    def submit(self, job: Job) -> Handle:
        run = job.run
        root = str(run.root.resolve())
        handle: Handle = {"launcher": self.name, "run_dir": root, "pid": None, "detached": job.is_detached}
        held = hold_devices([*self.cuda], 0 if job.gpu is None else job.processes)
        try:
            if held.indices:
                handle["devices"] = held.indices
            write_handle(run, handle)
            child = self.children[run.run_id] = self.spawn(job, held)
        finally:
            held.release()  # the trainer has inherited them
        handle |= {"pid": child.pid, "started": process_start(child.pid)}
        write_handle(run, handle)
        return handle

    def spawn(self, job: Job, held: HeldDevices) -> "subprocess.Popen[bytes]":
        """The trainer's process, its words in the run's log, its life tied to ours unless it is detached.

        Raises: LauncherError when it cannot be started.
        """
        command = [sys.executable, "-P", "-m", "trainer", str(job.run.root.resolve())]
        command += ["--processes", str(job.processes)]
        environment = dict(os.environ)
        if job.gpu is not None:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(held.indices)
            environment["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # the order in which nvidia-smi counts
        receiver, sender = os.pipe()
        if not job.is_detached:
            command += ["--lifeline", str(receiver)]
        try:
            with job.run.files.log.open("ab") as log:
                child = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=environment,
                    pass_fds=(*held.descriptors, *(() if job.is_detached else (receiver,))),
                    start_new_session=True,
                )
        except OSError as error:
            os.close(sender)
            raise LauncherError(f"the trainer could not be started: {error}") from error
        finally:
            os.close(receiver)
        if job.is_detached:
            os.close(sender)
        else:
            self.lifelines[job.run.run_id] = sender
        return child

    def status(self, handle: Handle) -> JobStatus:
        run = RunDirectory(Path(handle["run_dir"]))
        child = self.children.get(run.run_id)
        if child is not None and child.poll() is None:
            return JobStatus("running")
        if child is not None:
            self.release(run.run_id)
            return ended(run, child.returncode)
        if run.is_alive or is_running(handle):
            return JobStatus("running")
        return ended(run, 0 if run.is_finished else run.read_state().get("exit_code"))

    def logs(self, handle: Handle, follow: bool) -> Iterator[str]:
        run = RunDirectory(Path(handle["run_dir"]))
        return follow_file(run.files.log, self.growth(handle) if follow else iter([False]))

    def growth(self, handle: Handle) -> Iterator[bool]:
        """True for as long as the job may write."""
        while self.status(handle).state != "ended":
            yield True
        yield False

    def fetch(self, handle: Handle, run: RunDirectory) -> None:
        """Nothing; the trainer wrote into the run directory itself."""

    def cancel(self, handle: Handle) -> None:
        """Nothing; the trainer leaves a checkpoint and ends. Asked a second time, it is killed."""
        run = RunDirectory(Path(handle["run_dir"]))
        # Of two commands that started this run at the same moment, the other one's trainer may have got the lock.
        pid = handle["pid"] if is_running(handle) else run.read_state().get("pid") if run.is_alive else None
        if pid is not None:
            os.kill(pid, signal.SIGKILL if handle.get("was_asked_to_stop") else signal.SIGTERM)
            write_handle(run, handle | {"was_asked_to_stop": True})

    def release(self, run_id: str) -> None:
        """Nothing; the pipe of an ended job is closed."""
        lifeline = self.lifelines.pop(run_id, None)
        if lifeline is not None:
            os.close(lifeline)


def ended(run: RunDirectory, code: int | None) -> JobStatus:
    """The status of a job that is over. A last word counts only if the job ended with the code it was left with."""
    if code is not None and code < 0:
        return JobStatus("ended", code, f"the trainer was {describe_exit(code)}")
    state = run.read_state()
    return JobStatus("ended", code, (state.get("error") or "") if state.get("exit_code") == code else "")


def process_start(pid: int) -> str | None:
    """When a process began, in the kernel's ticks: with the pid it names one process for good. None for a dead one."""
    try:
        state, *facts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return None
    # A dead process that nobody has waited for still has its entry.
    return None if state in "ZX" else facts[18]


def is_running(handle: Handle) -> bool:
    """Whether the very process of the handle lives, and not a later one with its pid."""
    pid = handle.get("pid")
    if pid is None:
        return False
    start = process_start(pid)
    if start is None and not Path("/proc").exists():
        return process_exists(pid)
    return start is not None and start == handle.get("started")


def process_exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True
