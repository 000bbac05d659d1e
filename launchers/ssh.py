"""The ssh launcher: jobs on any machine that ssh can log into, such as a rented pod or a lab server.

The trainer's code, the shards and the run directory are copied there, each once, by hash. A supervisor there starts the
trainer and outlives every connection. Each poll copies log, metrics and state.json back, so that the run directory here
looks like that of a local run.
"""

import hashlib
import secrets
import tarfile
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field, ValidationError

from launchers.ssh_transport import RemoteAgent, SshHost
from pgolf.errors import LauncherError, Unreachable
from pgolf.findings import Finding
from pgolf.launching import Handle, Job, JobStatus, Standing, distribution_of
from pgolf.launching.doctor import doctor_arguments, doctor_findings
from pgolf.launching.endings import ended_status
from pgolf.launching.handles import create_handle, record_state, run_of, update_handle
from pgolf.launching.polling import PolledLauncher, RemoteOptions
from pgolf.launching.requirements import check_devices
from pgolf.launching.shipping import (
    apply_update,
    attempt_settings,
    fetching,
    fingerprint_of,
    mirrored_files,
    run_archive,
    shard_hashes,
    trainer_archive,
)
from pgolf.rundir import RunDirectory
from trainer.recipe.exit_codes import INTERRUPTED, TIMED_OUT

OLDEST_PYTHON = (3, 11)
MAX_JOBS = 1000  # jobs queue on the machine
FULL_DISK_BYTES = 10_000_000
CHECKPOINT_ROOM_BYTES = 5_000_000_000


def without_tilde(folder: str) -> str:
    """Return a folder without a leading ~/, which only a shell expands; ssh starts in the home folder anyway."""
    return folder.removeprefix("~/")


class SshLauncher(PolledLauncher):
    """Runs jobs on another machine."""

    name: ClassVar[str] = "ssh"
    summary: ClassVar[str] = "any machine that ssh can log into"
    is_remote: ClassVar[bool] = True

    class Options(RemoteOptions):
        """launch.options of this launcher."""

        host: str
        """As in `ssh HOST`: a name, user@name, or an alias from ~/.ssh/config."""
        port: Annotated[int, Field(ge=1, le=65535)] | None = None
        """Port of sshd; null for the one that ssh is configured with."""
        identity_file: str | None = None
        """File of the private key; null for those that ssh is configured with."""
        config_file: str | None = None
        """Configuration of ssh; null for ~/.ssh/config."""
        python: str = "python3"
        """A Python there that has torch."""
        folder: Annotated[str, Field(min_length=1), AfterValidator(without_tilde)] = "pgolf"
        """Folder there for code, data and runs; relative to the home folder."""
        usd_per_hour: Annotated[float, Field(ge=0)] | None = None
        """Price of the machine; needed to enforce spend.usd."""
        connect_seconds: Annotated[int, Field(ge=1)] = 10
        """Timeout of a connection attempt."""

    def check(self, job: Job) -> list[Finding]:
        options = self.Options.model_validate(job.options)
        try:
            found = agent_of(options).call("probe", root=options.folder, libraries=libraries_of(job))
        except LauncherError as error:
            return [Finding("fail", "machine", str(error), f"`ssh {options.host} true` must log in without a question")]
        return [
            check_python(found, options),
            check_libraries(found, options),
            check_disk(found, options, job),
            check_devices(job, found["devices"], found["cores"] or 1, options.host),
        ]

    def doctor(self, gpu: str | None, options: dict[str, Any]) -> list[Finding]:
        known = self.Options.model_validate(options)
        agent = agent_of(known)
        found = agent.call("probe", root=known.folder, libraries=[])
        code = send_code(agent, found["root"])
        ended = agent.call(
            "examine_self", code=code, python=known.python, arguments=doctor_arguments(found["root"], gpu)
        )
        return doctor_findings(ended["stdout"], ended["stderr"].strip())

    def capacity(self, job: Job) -> int:
        return MAX_JOBS

    def submit(self, job: Job) -> Handle:
        options = self.Options.model_validate(job.options)
        agent, run = agent_of(options), job.run
        root, remote_dir = remote_folders(agent, options, run)
        handle = create_handle(self.name, run, options=job.options, remote_dir=remote_dir, state="queued")
        code = send_code(agent, root)
        data = send_data(agent, root, run)
        agent.call("unpack", run_archive(run, data), folder=remote_dir)
        started = agent.call(
            "start",
            run=remote_dir,
            code=code,
            python=options.python,
            root=root,
            devices=0 if job.gpu is None else job.processes,
            processes=job.processes,
            limit_seconds=job.limit_seconds,
            known_attempts=run.read_attempts(),
            settings=attempt_settings(run) | {"data_folder": data},
            claim=secrets.token_hex(4),
            exit_codes={"timed_out": TIMED_OUT, "interrupted": INTERRUPTED},
        )
        update_handle(handle, pid=started["pid"], state="running")
        self.poll_again(handle)  # the last status may be that of an earlier job of this run
        return handle

    def poll(self, handle: Handle) -> JobStatus:
        """Return the status there, with log, metrics and state.json here brought up to date."""
        run, options = run_of(handle), options_of(handle)
        known = {path.name: fingerprint_of(path) for path in mirrored_files(run)}
        try:
            found = agent_of(options).call("poll", run=handle["remote_dir"], known=known)
        except Unreachable as error:
            return JobStatus("unreachable", message=str(error))
        if found["exists"]:
            for path in mirrored_files(run):
                apply_update(path, found["files"][path.name])
        return record_state(run, job_status(found, run))

    def fetch(self, handle: Handle, run: RunDirectory) -> None:
        options = options_of(handle)
        agent = agent_of(options)
        hashes = agent.call("list_files", run=handle["remote_dir"], ledger=options.ledger)["files"]
        with fetching(run) as folder:
            receive_files(agent, handle["remote_dir"], hashes, folder)

    def place(self, options: dict[str, Any]) -> str:
        """Return where jobs with these options run, by what tells one machine and folder from another."""
        known = self.Options.model_validate(options)
        port = "" if known.port is None else f":{known.port}"
        config = "" if known.config_file is None else f" ({known.config_file})"
        return f"{known.host}{port}{config}, folder {known.folder}"

    def standing(self, run: RunDirectory, options: dict[str, Any]) -> Standing:
        """Return what a place has of a run."""
        known = self.Options.model_validate(options)
        agent = agent_of(known)
        _, remote_dir = remote_folders(agent, known, run)
        return Standing(**agent.call("standing", run=remote_dir))

    def cancel(self, handle: Handle) -> None:
        agent_of(options_of(handle)).call("cancel", run=handle["remote_dir"])
        self.poll_again(handle)


def options_of(handle: Handle) -> SshLauncher.Options:
    """Return the launch.options that a job was started with.

    Raises:
        LauncherError: handle.json does not say where the job runs.
    """
    try:
        options = SshLauncher.Options.model_validate(handle["options"])
        if isinstance(handle["remote_dir"], str):
            return options
    except (KeyError, ValidationError):
        pass
    raise LauncherError(
        f"{run_of(handle).handle} is damaged: it names neither machine nor folder of the run; remove it, and the same "
        "command finds the run again"
    )


def remote_folders(agent: RemoteAgent, options: SshLauncher.Options, run: RunDirectory) -> tuple[str, str]:
    """Return the absolute path of launch.options.folder on the machine, and that of a run in it."""
    root: str = agent.call("probe", root=options.folder, libraries=[])["root"]
    return root, f"{root}/runs/{run.remote_id}"


def agent_of(options: SshLauncher.Options) -> RemoteAgent:
    """Return the agent on the machine of these options."""
    host = SshHost(options.host, options.port, options.identity_file, options.config_file, options.connect_seconds)
    return RemoteAgent(host, options.python, options.folder)


def libraries_of(job: Job) -> list[str]:
    """Return what the trainer imports there."""
    return [*dict.fromkeys(["torch", "numpy", "sentencepiece", *job.libraries])]


def check_python(found: dict[str, Any], options: SshLauncher.Options) -> Finding:
    """Return whether the Python there is new enough."""
    version = tuple(int(part) for part in found["python"].split(".")[:2])
    if version < OLDEST_PYTHON:
        wanted = ".".join(map(str, OLDEST_PYTHON))
        message = f"{options.host}: {options.python} is Python {found['python']}, but {wanted} or newer is needed"
        return Finding("fail", "machine", message, "set launch.options.python to another one there")
    return Finding("pass", "machine", f"{options.host}: Python {found['python']}, torch {found['torch']}")


def check_libraries(found: dict[str, Any], options: SshLauncher.Options) -> Finding:
    """Return whether what the trainer imports is installed there."""
    if not found["missing"]:
        return Finding("pass", "libraries_there", "all libraries that the trainer imports are installed")
    missing = " ".join(map(distribution_of, found["missing"]))
    fix = f"ssh {options.host} {options.python} -m pip install {missing}"
    return Finding("fail", "libraries_there", f"{options.host}: {options.python} lacks {missing}", fix)


def check_disk(found: dict[str, Any], options: SshLauncher.Options, job: Job) -> Finding:
    """Return whether there is room for data and checkpoints."""
    free, needed = found["free_bytes"], job.data_bytes + min(CHECKPOINT_ROOM_BYTES, job.disk_bytes)
    place = f"{options.host}:{found['root']}"
    if not found["is_writable"]:
        return Finding("fail", "disk_there", f"{place} is not writable", "set launch.options.folder to another one")
    if free < needed:
        message = f"{place} has {free:,} bytes free, but {needed:,} are needed"
        return Finding("fail", "disk_there", message, "free disk space, or set launch.options.folder to another disk")
    return Finding("pass", "disk_there", f"{place} has {free:,} bytes free")


def send_code(agent: RemoteAgent, root: str) -> str:
    """Copy the trainer's code there, unless it is there already, and return its folder."""
    archive = trainer_archive()
    folder = f"{root}/code/{hashlib.sha256(archive).hexdigest()[:16]}"
    agent.call("unpack", archive, folder=folder)
    return folder


def send_data(agent: RemoteAgent, root: str, run: RunDirectory) -> str:
    """Copy the run's missing or damaged shards there and return their folder."""
    if run.read_run()["data_sha256"] is None:  # a script that finds its data by itself
        return ""
    here = Path(run.read_run()["data_folder"])
    there = f"{root}/data/{run.read_run()['data_sha256']}"
    hashes = shard_hashes(here)
    for name in agent.call("missing_files", folder=there, files=hashes)["missing"]:
        with (here / name).open("rb") as file:
            agent.call("receive", file, path=f"{there}/{name}", sha256=hashes[name])
    return there


def job_status(found: dict[str, Any], run: RunDirectory) -> JobStatus:
    """Return the status that the answer to a poll describes."""
    if found["is_running"]:
        return JobStatus("queued" if found["is_waiting"] else "running")
    if not found["exists"]:
        return JobStatus(
            "ended",
            None,
            "its run directory on the machine is gone; the same command starts it again from the beginning",
        )
    code = 0 if found["is_finished"] else found["exit_code"]
    if code is not None:
        return ended_status(run, code, found["message"])
    message = "its supervisor was killed, or the machine was restarted"
    if found["free_bytes"] < FULL_DISK_BYTES:
        message = f"the disk of the machine is full ({found['free_bytes']:,} bytes free)"
    return JobStatus("ended", None, message)


def receive_files(agent: RemoteAgent, remote_dir: str, hashes: dict[str, str], folder: Path) -> None:
    """Copy files of a run from the machine into `folder`; `hashes` are their names there with the expected SHA-256.

    Raises:
        LauncherError: one of them arrives incomplete or changed.
    """
    archive = folder / ".archive.tar"
    archive.write_bytes(agent.run("send", run=remote_dir, files=list(hashes)))
    try:
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
    except tarfile.TarError as error:
        raise LauncherError(
            f"{agent.host.name}: the files arrived incomplete ({error}); run `pgolf fetch` again"
        ) from None
    archive.unlink()
    for name, sha256 in hashes.items():
        path = folder / PurePosixPath(name)
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
            raise LauncherError(f"{agent.host.name}: {name} was damaged on its way; run `pgolf fetch` again")
