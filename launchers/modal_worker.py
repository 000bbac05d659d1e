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

from launchers.ssh_agent import damaged, sha256_of

RUNS, DATA, SCRATCH = Path("/runs"), Path("/data"), Path("/tmp/pgolf")
# Of a job: who works on it, and what its asker wants; never part of a run directory.
CALLS, STOP = "calls", "stop"
ATTEMPTS = "attempts.jsonl"
LOOK_SECONDS = 0.2
# What a preempted container is given; its trainer has most of it for a checkpoint.
GRACE_SECONDS = 30.0
TRAINER_GRACE_SECONDS = 20.0
# Two calls for one run that begin together see each other after this long.
SETTLING_SECONDS = 2.0


def work(order: dict[str, Any]) -> dict[str, Any]:
    """How the trainer ended: exit code, and why if it was stopped. Everything it wrote is on the Volume.

    It raises nothing of its own, so that whoever asks can tell its failure from one of the network.
    """
    try:
        return work_on(order)
    except Exception as error:
        return {"exit_code": 1, "message": f"in the container: {type(error).__name__}: {error}"}


def work_on(order: dict[str, Any]) -> dict[str, Any]:
    began, codes = time.monotonic(), order["exit_codes"]
    volume = modal.Volume.from_name(order["runs_volume"])
    volume.reload()
    kept = RUNS / order["run_id"]
    if (kept / "result.json").exists():
        return {"exit_code": 0, "message": ""}
    if (kept / STOP).exists():
        return {"exit_code": codes["interrupted"], "message": "cancelled before it began"}
    if other := earlier_call(kept / CALLS, volume):
        message = f"call {other} is at work on this run"
        return {"exit_code": codes["already_running"], "message": message, "other_call": other}
    scratch = Mirror(SCRATCH / order["run_id"], kept)
    scratch.restore()
    attempt = Attempt(scratch.folder, began, order["limit_seconds"])
    if attempt.is_over():
        return {"exit_code": codes["timed_out"], "message": attempt.words}
    document = scratch.folder / "run.json"
    document.write_text(json.dumps({**json.loads(document.read_text()), **order["settings"]}))
    if wrong := spoiled_shards(order):
        words = "on the Volume was not what its hash says, and is gone; the same command sends it again"
        return {"exit_code": codes["bad_data"], "message": f"{', '.join(wrong)} {words}"}
    trainer = start_trainer(scratch.folder, order)
    try:
        watch(trainer, scratch, volume, attempt, order["commit_seconds"])
    finally:  # also where it is taken away, or cancelled: the next container goes on from what is kept now
        end(trainer)
        attempt.note()
        scratch.keep()
        volume.commit()
    hashes = {str(path.relative_to(scratch.folder)): sha256_of(path) for path in scratch.files()}
    if attempt.is_over() and trainer.returncode:
        return {"exit_code": codes["timed_out"], "message": attempt.words, "files": hashes}
    return {"exit_code": trainer.returncode, "message": "", "files": hashes}


def spoiled_shards(order: dict[str, Any]) -> list[str]:
    """Shards that are not what their SHA-256 says; they have been removed."""
    if order["data_sha256"] is None:
        return []
    folder = DATA / order["data_sha256"]
    wrong = damaged(folder, order["shards"])
    for name in wrong:
        (folder / name).unlink(missing_ok=True)
    modal.Volume.from_name(order["data_volume"]).commit()  # also what has been hashed, so that it is not hashed again
    return wrong


class Attempt:
    """The time of this container, in a line of a file that the cap and the report go by.

    The line is brought up to date whenever files are kept, so that a container that is killed has counted as well.
    """

    def __init__(self, folder: Path, began: float, limit_seconds: float) -> None:
        self.path, self.began, self.limit_seconds = folder / ATTEMPTS, began, limit_seconds
        self.call = modal.current_function_call_id()
        text = self.path.read_text() if self.path.exists() else ""
        self.earlier: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]
        # The last of it is for a checkpoint.
        spent: float = sum(row["seconds"] for row in self.earlier if row["call"] == self.call)
        self.deadline = began + limit_seconds - spent - min(GRACE_SECONDS, limit_seconds / 10)

    def is_over(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() > self.deadline

    @property
    def words(self) -> str:
        return f"stopped after {self.limit_seconds:.0f} s, its limit"

    def note(self) -> None:
        """Nothing; the file says how long this container has worked."""
        rows = [*self.earlier, {"call": self.call, "seconds": time.monotonic() - self.began}]
        self.path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def examine(code: str, arguments: list[str]) -> tuple[str, str]:
    """What the trainer's checkup says in this container, and what it complains of."""
    environment = {**os.environ, "PYTHONPATH": code}
    ended = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)
    return ended.stdout, ended.stderr.strip()


def earlier_call(folder: Path, volume: Any) -> str | None:
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
        earlier = [name for name, at in claims.items() if (at, name) < rank and lives(name)]
        if earlier or len(claims) == 1:
            return earlier[0] if earlier else None
        time.sleep(SETTLING_SECONDS)
        volume.reload()
    return None


def lives(call_id: str) -> bool:
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

    def __init__(self, folder: Path, kept: Path) -> None:
        self.folder, self.kept = folder, kept
        self.copied: dict[Path, tuple[int, int]] = {}

    def restore(self) -> None:
        """Nothing; the folder is as it was kept."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.kept, self.folder, ignore=lambda _, names: {CALLS, STOP} & {*names})
        for path in self.files():
            self.copied[path] = fingerprint(path)

    def files(self) -> list[Path]:
        """What is worth keeping, the result last: where it is, everything is."""
        files = [path for path in self.folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
        return sorted(files, key=lambda path: path.name == "result.json")

    def keep(self) -> None:
        """Nothing; what has changed is copied, each file whole or not at all; what is gone here is gone there."""
        files = self.files()
        for path in files:
            try:
                found = fingerprint(path)
                if self.copied.get(path) == found:
                    continue
                target = self.kept / path.relative_to(self.folder)
                target.parent.mkdir(parents=True, exist_ok=True)
                draft = target.with_name(f".{target.name}.tmp")
                shutil.copyfile(path, draft)
                draft.replace(target)
            except FileNotFoundError:
                continue  # replaced by the trainer in between; the next time finds it
            self.copied[path] = found
        for path in self.copied.keys() - {*files}:
            (self.kept / path.relative_to(self.folder)).unlink(missing_ok=True)
            del self.copied[path]


def fingerprint(path: Path) -> tuple[int, int]:
    """What changes when a file is written."""
    facts = path.stat()
    return facts.st_size, facts.st_mtime_ns


def start_trainer(folder: Path, order: dict[str, Any]) -> "subprocess.Popen[bytes]":
    """The trainer at work in a folder; what it says goes to the log there and to Modal's."""
    if order["cores"] is not None:
        # A container sees all cores of its machine; the trainer starts a thread for each that it may use.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: order["cores"]])
    command = [sys.executable, "-P", "-m", "trainer", str(folder), "--processes", str(order["processes"])]
    environment = {**os.environ, "PYTHONPATH": order["code"]}
    with (folder / "train.log").open("ab") as log:
        return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def watch(
    trainer: "subprocess.Popen[bytes]", scratch: Mirror, volume: Any, attempt: Attempt, commit_seconds: float
) -> None:
    """Nothing; the trainer has ended, its time is over, or it has been asked to stop from elsewhere and has."""
    position = (scratch.folder / "train.log").stat().st_size
    committed = time.monotonic()
    while trainer.poll() is None and not attempt.is_over():
        time.sleep(LOOK_SECONDS)
        position = echo(scratch.folder / "train.log", position)
        if time.monotonic() - committed > commit_seconds:
            attempt.note()
            scratch.keep()
            volume.commit()
            volume.reload()
            if (scratch.kept / STOP).exists():
                end(trainer)
            committed = time.monotonic()
    echo(scratch.folder / "train.log", position)


def echo(log: Path, position: int) -> int:
    """Where the log ends now; what is new in it has been printed."""
    with log.open("rb") as file:
        file.seek(position)
        complete, newline, _ = file.read().rpartition(b"\n")
    if newline:
        print(complete.decode(errors="replace"), flush=True)
    return position + len(complete) + len(newline)


def end(trainer: "subprocess.Popen[bytes]") -> None:
    """Nothing; the trainer is gone, and if it was at work it has had its time to leave a checkpoint."""
    trainer.terminate()
    try:
        trainer.wait(TRAINER_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        trainer.kill()
        trainer.wait()
