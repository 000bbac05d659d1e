"""The part of the ssh launcher that runs on the other machine: one file, copied there, with one command per call.

`python agent.py COMMAND JSON` prints one JSON object. It needs only Python's standard library, so that it can report
what else is missing there.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import json
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

GRACE_SECONDS = 30.0
HASH_CACHE = ".hashed.json"
# Written once a run has its devices. Supervisors of older versions write the same name.
DEVICES_FILE = "seat.json"
RETRY_SECONDS = 0.1
# What is not fetched: a script's own folder, files of this agent, checkpoints, and the ledger unless it is asked for.
WORK_FOLDER = "work"
NOT_FETCHED = ("run.lock", "job.json", "exit.json", DEVICES_FILE, "start.lock")


def probe(request: dict[str, Any]) -> dict[str, Any]:
    """Return what the machine has: Python, libraries, CUDA devices, free disk space."""
    root = Path(request["root"]).expanduser()
    existing = next(path for path in (root, *root.parents) if path.exists())
    missing = [name for name in request["libraries"] if importlib.util.find_spec(name) is None]
    return {
        "python": platform.python_version(),
        "missing": missing,
        "torch": None if "torch" in missing else distribution_version("torch"),
        "devices": cuda_devices(),
        "free_bytes": shutil.disk_usage(existing).free,
        "is_writable": os.access(existing, os.W_OK),
        "cores": os.cpu_count(),
        "root": str(root.absolute()),
    }


def distribution_version(name: str) -> str | None:
    """Return the version of an installed distribution without importing it, None if it is not installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return None


def cuda_devices() -> list[str]:
    """Return the names of the CUDA devices."""
    try:
        listing = subprocess.run(
            ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=30, check=True,
        ).stdout  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in listing.decode().splitlines() if line.strip()]


def missing_files(request: dict[str, Any]) -> dict[str, Any]:
    """Return which files of a folder are missing or have another SHA-256 than expected."""
    return {"missing": damaged_files(Path(request["folder"]), request["files"])}


def damaged_files(folder: Path, hashes: dict[str, str]) -> list[str]:
    """Return the files that are missing or have another SHA-256 than expected. Unchanged files are not hashed again."""
    cache = folder / HASH_CACHE
    known, seen = read_or_empty(cache), {}
    wrong = []
    for name, sha256 in hashes.items():
        try:
            facts = (folder / name).stat()
            stamp = f"{facts.st_size} {facts.st_mtime_ns}"
            found = known[name][1] if known.get(name, [None])[0] == stamp else sha256_of(folder / name)
        except OSError:
            wrong.append(name)
            continue
        seen[name] = [stamp, found]
        if found != sha256:
            wrong.append(name)
    if seen != known:
        with suppress(OSError):
            write_json(cache, seen)
    return wrong


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file without holding it in memory."""
    with path.open("rb") as file:
        return copy_hashed(file, None)


def receive(request: dict[str, Any]) -> dict[str, Any]:
    """Write stdin to a file, all of it or nothing.

    Raises:
        ValueError: it arrives incomplete or changed.
    """
    path = Path(request["path"])
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            found = copy_hashed(sys.stdin.buffer, file)
        if found != request["sha256"]:
            raise ValueError(f"{path} arrived with SHA-256 {found[:12]}, expected {request['sha256'][:12]}")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return {}


def copy_hashed(source: BinaryIO, target: BinaryIO | None) -> str:
    """Return the SHA-256 of a stream, and copy it to `target` if there is one."""
    digest = hashlib.sha256()
    for block in iter(lambda: source.read(1 << 20), b""):
        digest.update(block)
        if target is not None:
            target.write(block)
    return digest.hexdigest()


def unpack(request: dict[str, Any]) -> dict[str, Any]:
    """Unpack the archive on stdin into a new folder. A folder that exists already is left as it is."""
    folder = Path(request["folder"])
    if folder.exists():
        return {}
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        with tarfile.open(fileobj=sys.stdin.buffer, mode="r|gz") as archive:
            archive.extractall(draft)
        draft.rename(folder)
    except OSError:
        if not folder.exists():  # another submit was faster
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return {}


def start(request: dict[str, Any]) -> dict[str, Any]:
    """Return the supervisor of a run: the one that is running, or a new one. A finished run gets none."""
    root = Path(request["run"])
    with exclusive_lock(root / "start.lock"):
        if (root / "result.json").exists():
            return {"pid": None}
        job = read_or_empty(root / "job.json")
        if is_running(job):
            return job
        for name in ("exit.json", DEVICES_FILE):
            (root / name).unlink(missing_ok=True)
        write_json(root / "run.json", {**read_or_empty(root / "run.json"), **request["settings"]})
        supervised = json.dumps({**request, "settings": None})
        command = [sys.executable, str(Path(__file__).absolute()), "supervise", supervised]
        with (root / "train.log").open("ab") as log:
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=str(root), start_new_session=True
            )
        job = {"pid": child.pid, "started": process_start(child.pid)}
        write_json(root / "job.json", job)
        return job


def supervise(request: dict[str, Any]) -> None:
    """Wait for devices, run the trainer within its time limit and write exit.json. SIGTERM is passed on to it."""
    root = Path(request["run"])
    signal.signal(signal.SIGTERM, interrupt)
    began = time.monotonic()
    try:
        with claimed_devices(Path(request["root"]), request["devices"]) as devices:
            write_json(root / DEVICES_FILE, {"devices": devices})
            began = time.monotonic()
            code, message = run_trainer(root, request, devices)
    except KeyboardInterrupt:
        code, message = request["exit_codes"]["interrupted"], "stopped while it was queued"
    line = json.dumps({"seconds": time.monotonic() - began}) + "\n"
    with suppress(OSError), (root / "attempts.jsonl").open("a") as attempts:
        attempts.write(line)
    with suppress(OSError):  # if the disk is full, poll reports that
        write_json(root / "exit.json", {"exit_code": code, "message": message})


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def run_trainer(root: Path, request: dict[str, Any], devices: list[str]) -> tuple[int, str]:
    """Run the trainer; return its exit code, and why it was stopped if this supervisor stopped it."""
    receiver, sender = os.pipe()  # the lifeline: the trainer ends when this process does, whatever ends it
    command = [request["python"], "-P", "-m", "trainer", str(root), "--lifeline", str(receiver)]
    environment = {**os.environ, "PYTHONPATH": request["code"], "PYTHONDONTWRITEBYTECODE": "1"}
    if request["devices"]:
        environment.update(CUDA_VISIBLE_DEVICES=",".join(devices), CUDA_DEVICE_ORDER="PCI_BUS_ID")
    trainer = subprocess.Popen(
        [*command, "--processes", str(request["processes"])], env=environment, pass_fds=(receiver,), cwd=str(root)
    )
    os.close(receiver)
    signal.signal(signal.SIGTERM, partial(stop_or_kill, trainer, []))
    try:
        return trainer.wait(request["limit_seconds"]), ""
    except subprocess.TimeoutExpired:
        stop_trainer(trainer)
        return request["exit_codes"][
            "timed_out"
        ], f"stopped after {request['limit_seconds']:.0f} s: spend.usd is used up"
    finally:
        os.close(sender)


def stop_or_kill(trainer: subprocess.Popen[bytes], earlier: list[float], *_: object) -> None:
    """Ask the trainer to stop; kill it at the second call, or when it has not stopped after GRACE_SECONDS."""
    if earlier:
        trainer.kill()
        return
    earlier.append(time.monotonic())
    trainer.terminate()
    killer = threading.Timer(GRACE_SECONDS, trainer.kill)
    killer.daemon = True
    killer.start()


@contextmanager
def claimed_devices(root: Path, count: int) -> Iterator[list[str]]:
    """Yield the indices of `count` CUDA devices that no other run of pgolf here uses; for 0, claim the CPU.

    Waits until they are free. They are locked in the kernel, so the locks end with this process.
    """
    names = [f"gpu-{index}" for index in visible_devices()] if count else ["cpu"]
    if len(names) < count:
        raise ValueError(f"{count} CUDA devices are needed, nvidia-smi finds {len(names)} here")
    while True:
        with ExitStack() as locks:
            taken = []
            for name in names:
                file = locks.enter_context((root / f"{name}.lock").open("a"))
                with suppress(BlockingIOError):
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    taken.append(name.partition("-")[2])
                if len(taken) == max(1, count):
                    yield taken
                    return
        # Two runs that wait for several devices must not retry in step.
        time.sleep(random.uniform(0.5, 1.5) * RETRY_SECONDS)


def visible_devices() -> list[str]:
    """Return the indices of the CUDA devices, of those only that CUDA_VISIBLE_DEVICES allows."""
    indices = [str(index) for index, _ in enumerate(cuda_devices())]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return indices if visible is None else [index for index in visible.split(",") if index in indices]


def stop_trainer(trainer: subprocess.Popen[bytes]) -> int:
    """Ask the trainer to stop, kill it after GRACE_SECONDS, and return its exit code."""
    trainer.terminate()
    try:
        return trainer.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        trainer.kill()
        return trainer.wait()


def poll(request: dict[str, Any]) -> dict[str, Any]:
    """Return the state of a run, and what its text files hold beyond what the caller has."""
    root = Path(request["run"])
    job = read_or_empty(root / "job.json")
    running = is_running(job)  # read first: what is written after this is returned by the next poll
    ended = read_or_empty(root / "exit.json")
    return {
        "exists": (root / "run.json").exists(),
        "is_running": running,
        "is_waiting": not (root / DEVICES_FILE).exists(),
        "is_finished": (root / "result.json").exists(),
        "exit_code": ended.get("exit_code"),
        "free_bytes": shutil.disk_usage(root if root.exists() else Path.home()).free,
        "message": ended.get("message", ""),
        "files": {name: text_update(root / name, size, digest) for name, (size, digest) in request["known"].items()},
    }


def text_update(path: Path, size: int, digest: str) -> dict[str, Any] | None:
    """Return what a text holds after its first `size` bytes, if `digest` is their SHA-256; otherwise all of it."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    is_continued = hashlib.sha256(content[:size]).hexdigest() == digest
    begin = size if is_continued else 0
    return {"begin": begin, "text": content[begin:].decode("utf-8", "surrogateescape")}


def cancel(request: dict[str, Any]) -> dict[str, Any]:
    """Ask the supervisor of a run to stop, and return whether there was one."""
    job = read_or_empty(Path(request["run"]) / "job.json")
    if not is_running(job):
        return {"was_running": False}
    os.kill(job["pid"], signal.SIGTERM)
    return {"was_running": True}


def list_files(request: dict[str, Any]) -> dict[str, Any]:
    """Return the SHA-256 of every file to fetch."""
    root = Path(request["run"])
    files = [path for path in sorted(root.rglob("*")) if path.is_file() and is_fetched(path, root, request["ledger"])]
    return {"files": {str(path.relative_to(root)): sha256_of(path) for path in files}}


def is_fetched(path: Path, root: Path, includes_ledger: bool) -> bool:
    """Return whether a file of a run is fetched."""
    if path.name.startswith(".") or path.name in NOT_FETCHED or (path.name == "ledger.npz" and not includes_ledger):
        return False
    if root / WORK_FOLDER in path.parents:
        return False
    return path.parent != root / "checkpoints" or path.name == "prequant.ckpt"


def send(request: dict[str, Any]) -> None:
    """Write the named files to stdout as an archive."""
    root = Path(request["run"])
    with tarfile.open(fileobj=sys.stdout.buffer, mode="w|") as archive:
        for name in request["files"]:
            archive.add(str(root / name), name)


@contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Hold a file lock: one process at a time runs in this context."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


# As in trainer/recipe/processes.py, which this file cannot import: it is copied to the machine alone.
def process_start(pid: int) -> str | None:
    """Return when a process began, in the kernel's ticks; None if it is dead. Pid and start identify a process."""
    try:
        state, *facts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return None
    # A dead process that nobody has waited for still has its entry.
    return None if state in "ZX" else facts[18]


def is_running(job: dict[str, Any]) -> bool:
    """Return whether the process of a job is alive; a later one with the same pid does not count."""
    return bool(job) and job["started"] is not None and process_start(job["pid"]) == job["started"]


def read_or_empty(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def write_json(path: Path, document: dict[str, Any]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(document))
    temporary.replace(path)


COMMANDS = {
    "probe": probe, "missing_files": missing_files, "receive": receive, "unpack": unpack, "start": start, "poll": poll,
    "cancel": cancel, "list_files": list_files,
}  # fmt: skip
SILENT_COMMANDS = {"supervise": supervise, "send": send}


def main() -> int:
    """Run one command and return 0. An error is printed as JSON too."""
    command, request = sys.argv[1], json.loads(sys.argv[2])
    try:
        if command in SILENT_COMMANDS:
            SILENT_COMMANDS[command](request)
            return 0
        print(json.dumps(COMMANDS[command](request)))
    except (OSError, ValueError, tarfile.TarError) as error:
        print(json.dumps({"error": str(error)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
