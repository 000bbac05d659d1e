"""The part of the Modal launcher that runs in the container: it starts the trainer for one run and saves its files.

It imports the standard library and modal only: pgolf is not in the container. The trainer works in a folder of the
container. What it writes is copied to the Volume and committed every few seconds, so that a preempted container loses
no more than that, and the Volume never has an open file on it. The next container continues from there: after a
preemption, a crash, or when the same command is given again.
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
# Beside a run's files on the Volume: a file per call that works on it, and the client's request to stop.
CALLS_FOLDER, STOP_FILE = "calls", "stop"
ATTEMPTS = "attempts.jsonl"
CHECK_SECONDS = 0.2
# A preempted container has this long to end, and its trainer most of it for a checkpoint.
GRACE_SECONDS = 30.0
TRAINER_GRACE_SECONDS = 20.0
# Two calls for one run that begin at the same time see each other after this long.
SETTLING_SECONDS = 2.0


def run_job(request: dict[str, Any]) -> dict[str, Any]:
    """Run the trainer and return how it ended: exit_code, message if it was stopped, SHA-256 of its files.

    Raises nothing, so that the client can tell a failure here from one of the network.
    """
    try:
        return attempt_job(request)
    except Exception as error:
        return {"exit_code": 1, "message": f"failed in the container: {type(error).__name__}: {error}"}


def attempt_job(request: dict[str, Any]) -> dict[str, Any]:
    began, codes = time.monotonic(), request["exit_codes"]
    volume = modal.Volume.from_name(request["runs_volume"])
    volume.reload()
    stored = RUNS_MOUNT / request["run_id"]
    if (stored / "result.json").exists():
        return {"exit_code": 0, "message": ""}
    if (stored / STOP_FILE).exists():
        return {"exit_code": codes["interrupted"], "message": "cancelled before it started"}
    if other := call_at_work(stored / CALLS_FOLDER, volume):
        message = f"call {other} is already working on this run"
        return {"exit_code": codes["already_running"], "message": message, "other_call": other}
    scratch = Mirror(SCRATCH_FOLDER / request["run_id"], stored)
    scratch.restore()
    attempt = Attempt(scratch.folder, began, request["limit_seconds"])
    if attempt.is_time_up():
        return {"exit_code": codes["timed_out"], "message": attempt.message}
    document = scratch.folder / "run.json"
    document.write_text(json.dumps({**json.loads(document.read_text()), **request["settings"]}))
    if wrong := remove_damaged_shards(request):
        message = f"damaged on the Volume and removed there: {', '.join(wrong)}; the same command uploads it again"
        return {"exit_code": codes["bad_data"], "message": message}
    trainer = start_trainer(scratch.folder, request)
    try:
        watch(trainer, scratch, volume, attempt, request["commit_seconds"])
    finally:  # also when the container is preempted or cancelled: the next one continues from here
        stop_trainer(trainer)
        attempt.record_time()
        scratch.save()
        volume.commit()
    hashes = {str(path.relative_to(scratch.folder)): sha256_of(path) for path in scratch.files()}
    if attempt.is_time_up() and trainer.returncode:
        return {"exit_code": codes["timed_out"], "message": attempt.message, "files": hashes}
    return {"exit_code": trainer.returncode, "message": "", "files": hashes}


def remove_damaged_shards(request: dict[str, Any]) -> list[str]:
    """Remove shards whose SHA-256 is wrong from the Volume, and return their names."""
    if request["data_sha256"] is None:
        return []
    folder = DATA_MOUNT / request["data_sha256"]
    wrong = damaged_files(folder, request["shards"])
    for name in wrong:
        (folder / name).unlink(missing_ok=True)
    modal.Volume.from_name(request["data_volume"]).commit()  # with the cache of hashes
    return wrong


class Attempt:
    """The time that this container has used, in its line of attempts.jsonl, which the spending cap and report read.

    The line is updated whenever files are saved, so that the time of a killed container counts too.
    """

    def __init__(self, folder: Path, began: float, limit_seconds: float) -> None:
        self.path, self.began, self.limit_seconds = folder / ATTEMPTS, began, limit_seconds
        self.call = modal.current_function_call_id()
        text = self.path.read_text() if self.path.exists() else ""
        self.earlier: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]
        # The end of the time limit is reserved for a checkpoint.
        spent: float = sum(row["seconds"] for row in self.earlier if row["call"] == self.call)
        self.deadline = began + limit_seconds - spent - min(GRACE_SECONDS, limit_seconds / 10)

    def is_time_up(self) -> bool:
        """Return whether the time limit is reached."""
        return time.monotonic() > self.deadline

    @property
    def message(self) -> str:
        return f"stopped after {self.limit_seconds:.0f} s, its time limit"

    def record_time(self) -> None:
        """Write how long this container has worked."""
        rows = [*self.earlier, {"call": self.call, "seconds": time.monotonic() - self.began}]
        self.path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def run_doctor(code: str, arguments: list[str]) -> tuple[str, str]:
    """Run the trainer's self-check in this container and return its stdout and stderr."""
    environment = {**os.environ, "PYTHONPATH": code}
    ended = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)
    return ended.stdout, ended.stderr.strip()


def call_at_work(folder: Path, volume: Any) -> str | None:
    """Return the living call that claimed this run before this one, or None if this one may start."""
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
    """Return whether a call may still be running; True if Modal cannot be asked."""
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
    """A folder of this container and its copy on the Volume."""

    def __init__(self, folder: Path, stored: Path) -> None:
        self.folder, self.stored = folder, stored
        self.copied: dict[Path, tuple[int, int]] = {}

    def restore(self) -> None:
        """Replace the folder by its copy."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.stored, self.folder, ignore=lambda _, names: {CALLS_FOLDER, STOP_FILE} & {*names})
        for path in self.files():
            self.copied[path] = fingerprint(path)

    def files(self) -> list[Path]:
        """Return the files to save, result.json last, so that a run with a result is complete."""
        files = [path for path in self.folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
        return sorted(files, key=lambda path: path.name == "result.json")

    def save(self) -> None:
        """Copy changed files to the Volume, each whole or not at all, and remove there what was removed here."""
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
                continue  # replaced by the trainer meanwhile; the next save copies it
            self.copied[path] = found
        for path in self.copied.keys() - {*files}:
            (self.stored / path.relative_to(self.folder)).unlink(missing_ok=True)
            del self.copied[path]


def fingerprint(path: Path) -> tuple[int, int]:
    """Return size and modification time of a file, which change when it is written."""
    facts = path.stat()
    return facts.st_size, facts.st_mtime_ns


def start_trainer(folder: Path, request: dict[str, Any]) -> "subprocess.Popen[bytes]":
    """Start the trainer in a folder, with its output in train.log."""
    if request["cores"] is not None:
        # A container sees all cores of its machine, and the trainer starts a thread for each core it may use.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: request["cores"]])
    command = [sys.executable, "-P", "-m", "trainer", str(folder), "--processes", str(request["processes"])]
    environment = {**os.environ, "PYTHONPATH": request["code"]}
    with (folder / "train.log").open("ab") as log:
        return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def watch(
    trainer: "subprocess.Popen[bytes]", scratch: Mirror, volume: Any, attempt: Attempt, commit_seconds: float
) -> None:
    """Save files and copy the log to Modal's until the trainer has ended, its time is up or it was asked to stop."""
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
    """Print the complete lines of a log after `position`, and return the position after them."""
    with log.open("rb") as file:
        file.seek(position)
        complete, newline, _ = file.read().rpartition(b"\n")
    if newline:
        print(complete.decode(errors="replace"), flush=True)
    return position + len(complete) + len(newline)


def stop_trainer(trainer: "subprocess.Popen[bytes]") -> None:
    """Ask the trainer to write a checkpoint and end; kill it after TRAINER_GRACE_SECONDS."""
    trainer.terminate()
    try:
        trainer.wait(TRAINER_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        trainer.kill()
        trainer.wait()
