"""The local launcher: jobs are processes of this machine, on its CPU or with one CUDA device per process.

The trainer is a child process in its own session, so that Ctrl-C reaches it only once, through this process. The two
hold the ends of a pipe (the lifeline): when this process ends, however it ends, the pipe closes, and the trainer writes
a checkpoint and ends too. A detached trainer gets no pipe. The trainer writes into the run directory, so there is
nothing to fetch.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from launchers.devices import HeldDevices, cuda_devices, hold_devices
from launchers.shared_cores import shared_cores
from pgolf.errors import LauncherError
from pgolf.findings import Finding
from pgolf.launching import Handle, Job, JobStatus
from pgolf.launching.doctor import run_doctor
from pgolf.launching.endings import ended_status
from pgolf.launching.handles import (
    create_handle,
    is_alive_here,
    local_process,
    owner_here,
    record_stop_request,
    run_of,
    update_handle,
)
from pgolf.launching.polling import follow_log
from pgolf.launching.requirements import check_devices
from pgolf.rundir import RunDirectory
from trainer.recipe.cores import allowed_cores
from trainer.recipe.processes import pid_namespace


class LocalLauncher:
    """Runs jobs as processes of this machine."""

    name: ClassVar[str] = "local"
    summary: ClassVar[str] = "this machine: its CPU, or one CUDA device per process"
    is_remote: ClassVar[bool] = False

    class Options(BaseModel):
        """Options of the local launcher, which has none."""

        model_config = ConfigDict(extra="forbid")

    def __init__(self) -> None:
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        self.lifelines: dict[str, int] = {}

    def check(self, job: Job) -> list[Finding]:
        names = [] if job.gpu is None else [*self.gpus.values()]
        return [check_devices(job, names, allowed_cores(), "this machine"), *shared_cores(job)]

    def doctor(self, gpu: str | None, options: dict[str, Any]) -> list[Finding]:
        return run_doctor(gpu)

    @cached_property
    def gpus(self) -> dict[str, str]:
        """Names of the CUDA devices by index. nvidia-smi is slow, so it is run only once."""
        return cuda_devices()

    def capacity(self, job: Job) -> int:
        return 1 if job.gpu is None else max(1, len(self.gpus) // job.processes)

    def submit(self, job: Job) -> Handle:
        held = hold_devices([*self.gpus], 0 if job.gpu is None else job.processes)
        devices = {"devices": held.indices} if held.indices else {}
        try:
            owner = {} if job.is_detached else owner_here()
            handle = create_handle(self.name, job.run, pid=None, detached=job.is_detached, **devices, **owner)
            child = self.children[job.run.run_id] = self.spawn(job, held)
            held.hand_over(child.pid)
        finally:
            held.release()  # not what the trainer has
        return update_handle(handle, **local_process(child.pid))

    def spawn(self, job: Job, held: HeldDevices) -> "subprocess.Popen[bytes]":
        """Start the trainer with its output in the run's log, and with a lifeline unless it is detached.

        Raises:
            LauncherError: it cannot be started.
        """
        command = [sys.executable, "-P", "-m", "trainer", str(job.run.root.resolve())]
        command += ["--processes", str(job.processes)]
        environment = dict(os.environ)
        if job.gpu is not None:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(held.indices)
            environment["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # the order of nvidia-smi
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
        run = run_of(handle)
        child = self.children.get(run.run_id)
        if child is not None and child.pid == handle.get("pid"):
            if child.poll() is None:
                return JobStatus("running")
            self.close_lifeline(run.run_id)
            return ended_status(run, child.returncode)
        if run.is_alive or is_alive_here(handle):
            return JobStatus("running")
        return ended_status(run, last_exit_code(run, handle))

    def logs(self, handle: Handle, follow: bool) -> Iterator[str]:
        return follow_log(handle, self.status, follow)

    def fetch(self, handle: Handle, run: RunDirectory) -> None:
        """Do nothing: the trainer writes into the run directory itself."""

    def cancel(self, handle: Handle) -> None:
        """Ask the trainer to write a checkpoint and end; kill it when called a second time."""
        run = run_of(handle)
        if handle.get("pid_namespace") not in (None, pid_namespace()):
            raise LauncherError(f"{run.run_id} was started on another machine or in another container; cancel it there")
        # When two commands start a run at the same moment, the trainer that got the lock may be the other command's.
        pid = None
        if is_alive_here(handle):
            pid = handle["pid"]
        elif run.is_alive:
            pid = run.read_state().get("pid")
        if isinstance(pid, int) and pid > 0:  # state.json may be damaged, and to kill 0 or -1 is to kill many
            with suppress(ProcessLookupError):  # it has just ended
                os.kill(pid, signal.SIGKILL if record_stop_request(handle) else signal.SIGTERM)

    def close_lifeline(self, run_id: str) -> None:
        """Close this end of an ended job's pipe."""
        lifeline = self.lifelines.pop(run_id, None)
        if lifeline is not None:
            os.close(lifeline)


def last_exit_code(run: RunDirectory, handle: Handle) -> int | None:
    """Return the exit code that the job of a handle left in its run directory; None if it was killed before it could.

    A trainer that was killed early leaves the state.json of an earlier job, which has another pid.
    """
    if not run.is_finished and run.read_state().get("pid") != handle.get("pid"):
        return None
    return run.exit_code
