"""This machine: its CPU, or one of its CUDA devices a run.

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
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from pgolf.errors import LauncherError
from pgolf.findings import Finding
from pgolf.launching import Handle, Job, JobStatus, write_handle
from pgolf.rundir import RunDirectory, find_runs, follow_file, read_or_empty


class LocalLauncher:
    """Runs jobs as processes of this machine."""

    name: ClassVar[str] = "local"
    summary: ClassVar[str] = "this machine: CPU or one CUDA device a run"

    class Options(BaseModel):
        """This launcher has no options."""

        model_config = ConfigDict(extra="forbid")

    def __init__(self) -> None:
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        self.lifelines: dict[str, int] = {}
        self.devices: dict[str, str] = {}

    def check(self, job: Job) -> list[Finding]:
        findings = [self.check_device(job)]
        if job.processes > 1:
            fix = "--set launch.processes=1"
            findings.append(Finding("fail", "processes", f"a local run is one process, not {job.processes}", fix))
        return findings

    def check_device(self, job: Job) -> Finding:
        """Whether the device is here."""
        if job.gpu is None:
            return Finding("pass", "device", f"CPU with {len(os.sched_getaffinity(0))} cores")
        names = cuda_devices()
        count = int(job.gpu.partition(":")[2] or 1)
        if count > 1:
            fix = "launch.gpu with one device, or seeds side by side on several"
            return Finding("fail", "device", f"{job.gpu}: a local run uses one CUDA device", fix)
        if not names:
            fix = "--set launch.gpu=null for the CPU, or another launcher with --on"
            return Finding("fail", "device", f"{job.gpu} is asked for; nvidia-smi finds no GPU here", fix)
        wanted = job.gpu.partition(":")[0].rstrip("!")
        if not any(wanted in name for name in names.values()):
            found = ", ".join(names.values())
            return Finding("warn", "device", f"{wanted} is asked for, here is {found}; times will differ")
        return Finding("pass", "device", f"{len(names)} x {next(iter(names.values()))}")

    def capacity(self, job: Job) -> int:
        return 1 if job.gpu is None else max(1, len(cuda_devices()))

    def submit(self, job: Job) -> Handle:
        run = job.run
        root = str(run.root.resolve())
        handle: Handle = {"launcher": self.name, "run_dir": root, "pid": None, "detached": job.is_detached}
        environment = dict(os.environ)
        if job.gpu is not None:
            handle["device"] = environment["CUDA_VISIBLE_DEVICES"] = self.free_device(run.root.parent.parent)
            self.devices[run.run_id] = handle["device"]
        write_handle(run, handle)
        child = self.children[run.run_id] = self.spawn(job, environment)
        handle |= {"pid": child.pid, "started": process_start(child.pid)}
        write_handle(run, handle)
        return handle

    def spawn(self, job: Job, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
        """The trainer's process, its words in the run's log, its life tied to ours unless it is detached.

        Raises: LauncherError when it cannot be started.
        """
        command = [sys.executable, "-P", "-m", "trainer", str(job.run.root.resolve())]
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
                    pass_fds=() if job.is_detached else (receiver,),
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
        run = RunDirectory(Path(handle["run_dir"]))
        if is_running(handle):
            os.kill(handle["pid"], signal.SIGTERM)
        elif run.is_alive and (pid := run.read_state().get("pid")):
            # Of two commands that started this run at the same moment, the other one's trainer got the lock.
            os.kill(pid, signal.SIGTERM)

    def free_device(self, runs_dir: Path) -> str:
        """The first CUDA device that no run of ours, of this command or another, is on.

        Raises: LauncherError when all are taken.
        """
        handles = [read_or_empty(run.handle) for run in find_runs(runs_dir)]
        taken = {*self.devices.values(), *(handle.get("device") for handle in handles if is_running(handle))}
        free = [index for index in cuda_devices() if index not in taken]
        if not free:
            raise LauncherError("every CUDA device here has a run of ours")
        return free[0]

    def release(self, run_id: str) -> None:
        """Nothing; the device and the pipe of an ended job are free."""
        self.devices.pop(run_id, None)
        lifeline = self.lifelines.pop(run_id, None)
        if lifeline is not None:
            os.close(lifeline)


def ended(run: RunDirectory, code: int | None) -> JobStatus:
    """The status of a job that is over. A last word counts only if the job ended with the code it was left with."""
    if code is not None and code < 0:
        return JobStatus("ended", code, f"the trainer was killed by signal {-code}")
    state = run.read_state()
    return JobStatus("ended", code, (state.get("error") or "") if state.get("exit_code") == code else "")


def cuda_devices() -> dict[str, str]:
    """Names of the CUDA devices that a child of ours may use, by index; CUDA_VISIBLE_DEVICES is respected."""
    query = ["nvidia-smi", "--query-gpu=index,name", "--format=csv,noheader"]
    try:
        listing = subprocess.run(query, capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return {}
    pairs = (line.partition(",") for line in listing.splitlines() if line.strip())
    names = {index.strip(): name.strip() for index, _, name in pairs}
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return names if visible is None else {index: names[index] for index in visible.split(",") if index in names}


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
