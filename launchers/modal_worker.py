"""What a Modal container does for one run. It knows the standard library and modal, and starts the trainer, which has
been sent along; nothing of pgolf is there.

The trainer works in a folder of the container. What it writes is copied to the Volume and committed every few seconds,
so that a container that is taken away loses no more, and a Volume never has an open file on it. Another container goes
on from there: after a preemption, a crash, or the same command given again.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import modal

from launchers.ssh_agent import damaged_files, sha256_of

RUNS_MOUNT, DATA_MOUNT, SCRATCH_FOLDER = Path("/runs"), Path("/data"), Path("/tmp/pgolf")
# Of a request: who works on it, and what its asker wants; never part of a run directory.
CALLS_FOLDER, STOP_FILE = "calls", "stop"
ATTEMPTS = "attempts.jsonl"
CHECK_SECONDS = 0.2
# What a preempted container is given; its trainer has most of it for a checkpoint.
GRACE_SECONDS = 30.0
TRAINER_GRACE_SECONDS = 20.0
# Two calls for one run that begin together see each other after this long.
SETTLING_SECONDS = 2.0


def run_job(request: dict[str, Any]) -> dict[str, Any]:
    """How the trainer ended: exit code, and why if it was stopped. Everything it wrote is on the Volume.

    It raises nothing of its own, so that whoever asks can tell its failure from one of the network.
    """
    try:
        return attempt_job(request)
    except Exception as error:
        return {"exit_code": 1, "message": f"in the container: {type(error).__name__}: {error}"}


def attempt_job(request: dict[str, Any]) -> dict[str, Any]:
    began, codes = time.monotonic(), request["exit_codes"]
    volume = modal.Volume.from_name(request["runs_volume"])
    volume.reload()
    stored = RUNS_MOUNT / request["run_id"]
    if (stored / "result.json").exists():
        return {"exit_code": 0, "message": ""}
    if (stored / STOP_FILE).exists():
        return {"exit_code": codes["interrupted"], "message": "cancelled before it began"}
    if other := call_at_work(stored / CALLS_FOLDER, volume):
        message = f"call {other} is at work on this run"
        return {"exit_code": codes["already_running"], "message": message, "other_call": other}
    scratch = Mirror(SCRATCH_FOLDER / request["run_id"], stored)
    scratch.restore()
    attempt = Attempt(scratch.folder, began, request["limit_seconds"])
    if attempt.is_time_up():
        return {"exit_code": codes["timed_out"], "message": attempt.message}
    document = scratch.folder / "run.json"
    document.write_text(json.dumps({**json.loads(document.read_text()), **request["settings"]}))
    if wrong := remove_damaged_shards(request):
        words = "on the Volume was not what its hash says, and is gone; the same command sends it again"
        return {"exit_code": codes["bad_data"], "message": f"{', '.join(wrong)} {words}"}
    trainer = start_trainer(scratch.folder, request)
    try:
        watch(trainer, scratch, volume, attempt, request["commit_seconds"])
    finally:  # also where it is taken away, or cancelled: the next container goes on from what is stored now
        stop_trainer(trainer)
        attempt.record_time()
        scratch.save()
        volume.commit()
    hashes = {str(path.relative_to(scratch.folder)): sha256_of(path) for path in scratch.files()}
    if attempt.is_time_up() and trainer.returncode:
        return {"exit_code": codes["timed_out"], "message": attempt.message, "files": hashes}
    return {"exit_code": trainer.returncode, "message": "", "files": hashes}


def remove_damaged_shards(request: dict[str, Any]) -> list[str]:
    """Shards that are not what their SHA-256 says; they have been removed."""
    if request["data_sha256"] is None:
        return []
    folder = DATA_MOUNT / request["data_sha256"]
    wrong = damaged_files(folder, request["shards"])
    for name in wrong:
        (folder / name).unlink(missing_ok=True)
    modal.Volume.from_name(request["data_volume"]).commit()  # also what has been hashed, so that it is not hashed again
    return wrong


class Attempt:
    """The time of this container, in a line of a file that the cap and the report go by.

    The line is brought up to date whenever files are stored, so that a container that is killed has counted as well.
    """

    def __init__(self, folder: Path, began: float, limit_seconds: float) -> None:
        self.path, self.began, self.limit_seconds = folder / ATTEMPTS, began, limit_seconds
        self.call = modal.current_function_call_id()
        text = self.path.read_text() if self.path.exists() else ""
        self.earlier: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]
        # The last of it is for a checkpoint.
        spent: float = sum(row["seconds"] for row in self.earlier if row["call"] == self.call)
        self.deadline = began + limit_seconds - spent - min(GRACE_SECONDS, limit_seconds / 10)

    def is_time_up(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() > self.deadline

    @property
    def message(self) -> str:
        return f"stopped after {self.limit_seconds:.0f} s, its limit"

    def record_time(self) -> None:
        """Nothing; the file says how long this container has worked."""
        rows = [*self.earlier, {"call": self.call, "seconds": time.monotonic() - self.began}]
        self.path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def run_doctor(code: str, arguments: list[str]) -> tuple[str, str]:
    """What the trainer's checkup says in this container, and what it complains of."""
    environment = {**os.environ, "PYTHONPATH": code}
    ended = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)
    return ended.stdout, ended.stderr.strip()


def call_at_work(folder: Path, volume: Any) -> str | None:
    """The call that came to this run before this one, and lives; None where this one may begin."""
    own = modal.current_function_call_id() or "none"
    claim = folder / own
    folder.mkdir(parents=True, exist_ok=True)
    if not claim.exists():
        claim.write_text(repr(time.time()))
    volume.commit()
    for _ in range(2):
        claims = {path.name: float(path.read_text()) for path in folder.iterdir()}
        rank = (claims[own], own)
        earlier = [name for name, at in claims.items() if (at, name) < rank and is_alive(name)]
        if earlier or len(claims) == 1:
            return earlier[0] if earlier else None
        time.sleep(SETTLING_SECONDS)
        volume.reload()
    return None


def is_alive(call_id: str) -> bool:
    """Whether a call may not have ended: of one that cannot be asked after, it is taken for granted."""
    ended = modal.exception
    try:
        modal.FunctionCall.from_id(call_id).get(timeout=0)
    except (ended.FunctionTimeoutError, ended.RemoteError, ended.InternalFailure, ended.NotFoundError):
        return False
    except ended.OutputExpiredError:
        return False
    except Exception:
        return True
    return False


class Mirror:
    """A folder of this container and its copy on a Volume."""

    def __init__(self, folder: Path, stored: Path) -> None:
        self.folder, self.stored = folder, stored
        self.copied: dict[Path, tuple[int, int]] = {}

    def restore(self) -> None:
        """Nothing; the folder is as it was stored."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.stored, self.folder, ignore=lambda _, names: {CALLS_FOLDER, STOP_FILE} & {*names})
        for path in self.files():
            self.copied[path] = fingerprint(path)

    def files(self) -> list[Path]:
        """What is worth keeping, the result last: where it is, everything is."""
        files = [path for path in self.folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
        return sorted(files, key=lambda path: path.name == "result.json")

    def save(self) -> None:
        """Nothing; what has changed is copied, each file whole or not at all; what is gone here is gone there."""
        files = self.files()
        for path in files:
            try:
                found = fingerprint(path)
                if self.copied.get(path) == found:
                    continue
                target = self.stored / path.relative_to(self.folder)
                target.parent.mkdir(parents=True, exist_ok=True)
                draft = target.with_name(f".{target.name}.tmp")
                shutil.copyfile(path, draft)
                draft.replace(target)
            except FileNotFoundError:
                continue  # replaced by the trainer in between; the next time finds it
            self.copied[path] = found
        for path in self.copied.keys() - {*files}:
            (self.stored / path.relative_to(self.folder)).unlink(missing_ok=True)
            del self.copied[path]


def fingerprint(path: Path) -> tuple[int, int]:
    """What changes when a file is written."""
    facts = path.stat()
    return facts.st_size, facts.st_mtime_ns


def start_trainer(folder: Path, request: dict[str, Any]) -> "subprocess.Popen[bytes]":
    """The trainer at work in a folder; what it says goes to the log there and to Modal's."""
    if request["cores"] is not None:
        # A container sees all cores of its machine; the trainer starts a thread for each that it may use.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: request["cores"]])
    command = [sys.executable, "-P", "-m", "trainer", str(folder), "--processes", str(request["processes"])]
    environment = {**os.environ, "PYTHONPATH": request["code"]}
    with (folder / "train.log").open("ab") as log:
        return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def watch(
    trainer: "subprocess.Popen[bytes]", scratch: Mirror, volume: Any, attempt: Attempt, commit_seconds: float
) -> None:
    """Nothing; the trainer has ended, its time is over, or it has been asked to stop from elsewhere and has."""
    position = (scratch.folder / "train.log").stat().st_size
    committed = time.monotonic()
    while trainer.poll() is None and not attempt.is_time_up():
        time.sleep(CHECK_SECONDS)
        position = print_new_lines(scratch.folder / "train.log", position)
        if time.monotonic() - committed > commit_seconds:
            attempt.record_time()
            scratch.save()
            volume.commit()
            volume.reload()
            if (scratch.stored / STOP_FILE).exists():
                stop_trainer(trainer)
            committed = time.monotonic()
    print_new_lines(scratch.folder / "train.log", position)


def print_new_lines(log: Path, position: int) -> int:
    """Where the log ends now; what is new in it has been printed."""
    with log.open("rb") as file:
        file.seek(position)
        complete, newline, _ = file.read().rpartition(b"\n")
    if newline:
        print(complete.decode(errors="replace"), flush=True)
    return position + len(complete) + len(newline)


def stop_trainer(trainer: "subprocess.Popen[bytes]") -> None:
    """Nothing; the trainer is gone, and if it was at work it has had its time to leave a checkpoint."""
    trainer.terminate()
    try:
        trainer.wait(TRAINER_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        trainer.kill()
        trainer.wait()
