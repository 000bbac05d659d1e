"""The part of the ssh launcher that runs on the other machine: one file, copied there, with one command per call.

`python agent.py COMMAND JSON` prints ANSWER_MARK and one JSON object. It needs only Python's standard library, so that
it can report what else is missing there.

A run directory may lie on a network volume that several machines see. job.json names the claim of the one supervisor
that may work in it; starting another one writes a new claim there first. A supervisor that finds a claim other than its
own, for example because its machine was paused, kills its trainer and ends without writing anything.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import importlib.util
import json
import os
import platform
import random
import re
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

# Precedes every answer, because the shell there may print text of its own before it.
ANSWER_MARK = "pgolf-answer:"
GRACE_SECONDS = 30.0
BEAT_SECONDS = 1.0
# A supervisor on another machine whose lease was not renewed for so long is dead or paused.
SILENT_SECONDS = 10.0
# A poll cannot wait that long. It compares the clocks of two machines instead, so it is more patient.
SILENT_BY_CLOCK_SECONDS = 60.0
RECORD_SECONDS = 10.0
LEASE_PREFIX = ".lease-"
MACHINE_REFUSED = 6
LOCKS_NOT_SUPPORTED = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL)
HASH_CACHE = ".hashed.json"
# Written once a run has its devices. Supervisors of older versions write the same name.
DEVICES_FILE = "seat.json"
RETRY_SECONDS = 0.1
# Of a document such as job.json, which has some hundred bytes.
MOST_BYTES = 16_000_000
ATTEMPTS_FILE = "attempts.jsonl"
# What is not fetched: a script's own folder, files of this agent, checkpoints, and the ledger unless it is asked for.
WORK_FOLDER = "work"
# The trainer's lock where the file system has no flock (trainer/recipe/locks.py).
LOCK_OWNER = "run.lock.owner"
NOT_FETCHED = ("run.lock", LOCK_OWNER, "job.json", "exit.json", DEVICES_FILE, "start.lock")


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
            match known.get(name):
                case [was, str(found)] if was == stamp:
                    pass
                case _:
                    found = sha256_of(folder / name)
        except (OSError, ValueError):
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
    with open_regular(path) as file:
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
    """Return the supervisor of a run: the one that is running here, or a new one. A finished run gets none."""
    root = Path(request["run"])
    with exclusive_lock(root / "start.lock"):
        if (root / "result.json").exists():
            return {"pid": None}
        before = read_or_empty(root / "job.json")
        if is_running_here(before) and not is_paused(before["pid"]):
            return before
        for name in ("exit.json", DEVICES_FILE):
            (root / name).unlink(missing_ok=True)
        write_json(root / "run.json", {**read_or_empty(root / "run.json"), **request["settings"]})
        take_over_attempts(root, request["known_attempts"])
        job = {"claim": request["claim"], "host": this_host(), "pid": None, "started": None}
        write_json(root / "job.json", job)
        if is_running_here(before):
            os.kill(before["pid"], signal.SIGCONT)  # it finds the new claim and ends
        supervised = json.dumps({**request, "settings": None})
        command = [sys.executable, str(Path(__file__).absolute()), "supervise", supervised]
        with (root / "train.log").open("ab") as log:
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=str(root), start_new_session=True
            )
        job.update(pid=child.pid, started=process_start(child.pid))
        write_json(root / "job.json", job)
        return job


def this_host() -> str:
    """Return a name of this machine since it was started. A pid identifies a process only together with it."""
    facts = [platform.node()]
    with suppress(OSError):
        facts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        facts.append(str(Path("/proc/self/ns/pid").readlink()))  # differs between containers of one machine
    return " ".join(facts)


class Lease:
    """The right of one supervisor to work in a run directory: a file that it renews every BEAT_SECONDS.

    It is lost when job.json names another claim.
    """

    def __init__(self, root: Path, claim: str) -> None:
        self.root, self.claim = root, claim
        self.path = root / f"{LEASE_PREFIX}{claim}"
        self.owner = {"host": this_host(), "pid": os.getpid(), "started": process_start(os.getpid())}
        self.trainer: subprocess.Popen[bytes] | None = None

    @property
    def is_lost(self) -> bool:
        return bool(read_or_empty(self.root / "job.json").get("claim", self.claim) != self.claim)

    def keep(self) -> NoReturn:
        """Renew the lease until it is lost, then end this process. Runs in a thread."""
        beat = 0
        while not self.is_lost:
            beat += 1
            with suppress(OSError):  # on a full disk the trainer fails and says so
                write_json(self.path, {**self.owner, "beat": beat})
            time.sleep(BEAT_SECONDS)
        self.leave()

    def leave(self) -> NoReturn:
        """Kill the trainer and end this process. The lease is removed last: the next supervisor waits for that."""
        if self.trainer is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.trainer.pid, signal.SIGKILL)
            self.trainer.wait()
        self.path.unlink(missing_ok=True)
        os._exit(0)

    def wait_for_others(self) -> None:
        """Wait until every earlier supervisor of the run has ended or is silent."""
        for other in self.root.glob(f"{LEASE_PREFIX}*"):
            if other != self.path:
                wait_for_end(other)
                other.unlink(missing_ok=True)


def wait_for_end(lease: Path) -> None:
    """Wait until the owner of a lease has ended, or has not renewed it for SILENT_SECONDS."""
    last, renewed_at = read_or_empty(lease), time.monotonic()
    while lease.exists() and (last.get("host") != this_host() or is_running_here(last)):
        if time.monotonic() - renewed_at > SILENT_SECONDS:
            # A paused trainer still holds the lock, and on a network volume the lock of a dead one may last.
            (lease.parent / "run.lock").unlink(missing_ok=True)
            shutil.rmtree(lease.parent / LOCK_OWNER, ignore_errors=True)
            return
        time.sleep(RETRY_SECONDS)
        found = read_or_empty(lease)
        if found != last:
            last, renewed_at = found, time.monotonic()


def supervise(request: dict[str, Any]) -> None:
    """Wait for devices, run the trainer within its time limit and write exit.json. SIGTERM is passed on to it."""
    root = Path(request["run"])
    signal.signal(signal.SIGTERM, interrupt)
    lease = Lease(root, request["claim"])
    try:
        threading.Thread(target=lease.keep, daemon=True).start()
        lease.wait_for_others()
        with claimed_devices(Path(request["root"]), request["devices"]) as devices:
            write_json(root / DEVICES_FILE, {"devices": devices})
            code, message = run_trainer(root, request, devices, lease)
    except KeyboardInterrupt:
        code, message = request["exit_codes"]["interrupted"], "stopped while it was queued"
    except (OSError, ValueError) as error:
        code, message = MACHINE_REFUSED, str(error)
    if lease.is_lost:
        lease.leave()
    with suppress(OSError):  # if the disk is full, poll reports that
        write_json(root / "exit.json", {"exit_code": code, "message": message})
    lease.path.unlink(missing_ok=True)


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def take_over_attempts(root: Path, known: list[float]) -> None:
    """Replace attempts.jsonl by the attempts that the caller knows of, if those took longer: some were elsewhere."""
    if sum(known) > Attempt(root).earlier_seconds():
        write_text(root / ATTEMPTS_FILE, "".join(json.dumps({"seconds": seconds}) + "\n" for seconds in known))


class Attempt:
    """The seconds of one attempt: a line of attempts.jsonl, updated regularly so that a killed attempt counts too."""

    def __init__(self, root: Path) -> None:
        self.path = root / ATTEMPTS_FILE
        self.began = self.recorded_at = time.monotonic()
        self.earlier = ""
        with suppress(FileNotFoundError), open_regular(self.path) as file:
            self.earlier = file.read().decode(errors="replace")

    def earlier_seconds(self) -> float:
        """Return the seconds of all earlier attempts here."""
        seconds = 0.0
        for line in self.earlier.splitlines():
            # A line of an older version may be incomplete.
            with suppress(ValueError, KeyError, TypeError, OverflowError, RecursionError):
                seconds += float(json.loads(line)["seconds"])
        return seconds

    def record(self) -> None:
        """Write how long this attempt has taken."""
        self.recorded_at = time.monotonic()
        line = json.dumps({"seconds": self.recorded_at - self.began})
        with suppress(OSError):
            write_text(self.path, f"{self.earlier}{line}\n")


def run_trainer(root: Path, request: dict[str, Any], devices: list[str], lease: Lease) -> tuple[int, str]:
    """Run the trainer; return its exit code, and why it was stopped if this supervisor stopped it."""
    attempt = Attempt(root)
    limit = request["limit_seconds"]
    if limit is not None:  # from which the caller has subtracted the attempts that it knows of
        limit -= max(0.0, attempt.earlier_seconds() - sum(request["known_attempts"]))
    if limit is not None and limit <= 0:
        message = f"spend.usd is used up: earlier attempts took {attempt.earlier_seconds():.0f} s"
        return request["exit_codes"]["timed_out"], message
    receiver, sender = os.pipe()  # the lifeline: the trainer ends when this process does, whatever ends it
    command = [request["python"], "-P", "-m", "trainer", str(root), "--lifeline", str(receiver)]
    environment = {**os.environ, "PYTHONPATH": request["code"], "PYTHONDONTWRITEBYTECODE": "1"}
    if request["devices"]:
        environment.update(CUDA_VISIBLE_DEVICES=",".join(devices), CUDA_DEVICE_ORDER="PCI_BUS_ID")
    trainer = subprocess.Popen(
        [*command, "--processes", str(request["processes"])],
        env=environment, pass_fds=(receiver,), cwd=str(root), process_group=0,
    )  # fmt: skip
    os.close(receiver)
    lease.trainer = trainer
    signal.signal(signal.SIGTERM, partial(stop_or_kill, trainer, []))
    try:
        while limit is None or time.monotonic() - attempt.began < limit:
            pause = RECORD_SECONDS if limit is None else min(RECORD_SECONDS, limit)
            with suppress(subprocess.TimeoutExpired):
                return trainer.wait(pause), ""
            if not lease.is_lost:
                attempt.record()
        stop_trainer(trainer)
        return request["exit_codes"]["timed_out"], f"stopped after {limit:.0f} s: spend.usd is used up"
    finally:
        os.close(sender)
        if not lease.is_lost:
            attempt.record()


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

    Waits until they are free. They are locked in the kernel, so the locks end with this process. Each machine that sees
    the folder has locks of its own.
    """
    names = [f"gpu-{index}" for index in visible_devices()] if count else ["cpu"]
    if len(names) < count:
        raise ValueError(f"{count} CUDA devices are needed, nvidia-smi finds {len(names)} here")
    folder = root if locks_work(root) else Path(tempfile.gettempdir())
    while True:
        with ExitStack() as locks:
            taken = []
            for name in names:
                file = locks.enter_context((folder / f"{name}@{platform.node()}.lock").open("a"))
                with suppress(BlockingIOError):
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    taken.append(name.partition("-")[2])
                if len(taken) == max(1, count):
                    yield taken
                    return
        # Two runs that wait for several devices must not retry in step.
        time.sleep(random.uniform(0.5, 1.5) * RETRY_SECONDS)


def locks_work(folder: Path) -> bool:
    """Return whether files in a folder can be locked; some network volumes cannot."""
    try:
        with (folder / "locks.test").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as error:
        if error.errno in LOCKS_NOT_SUPPORTED:
            return False
        raise
    return True


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
    running = is_running(root, job)  # read first: what is written after this is returned by the next poll
    ended = read_or_empty(root / "exit.json")
    code, message = ended.get("exit_code"), ended.get("message")
    return {
        "exists": (root / "run.json").exists(),
        "is_running": running,
        "is_waiting": not (root / DEVICES_FILE).exists(),
        "is_finished": (root / "result.json").exists(),
        "exit_code": code if isinstance(code, int) else None,
        "free_bytes": shutil.disk_usage(root if root.exists() else Path.home()).free,
        "message": message if isinstance(message, str) else "",
        "files": {name: text_update(root / name, size, digest) for name, (size, digest) in request["known"].items()},
    }


def text_update(path: Path, size: int, digest: str) -> dict[str, Any] | None:
    """Return what a text holds after its first `size` bytes, if `digest` is their SHA-256; otherwise all of it."""
    try:
        with open_regular(path) as file:
            content = file.read()
    except FileNotFoundError:
        return None
    is_continued = hashlib.sha256(content[:size]).hexdigest() == digest
    begin = size if is_continued else 0
    return {"begin": begin, "text": content[begin:].decode("utf-8", "surrogateescape")}


def cancel(request: dict[str, Any]) -> dict[str, Any]:
    """Ask the supervisor of a run to stop, and return whether there was one."""
    job = read_or_empty(Path(request["run"]) / "job.json")
    if not is_running_here(job):
        return {"was_running": False}
    os.kill(job["pid"], signal.SIGTERM)
    return {"was_running": True}


def examine_self(request: dict[str, Any]) -> dict[str, Any]:
    """Return what the trainer's self-check prints."""
    environment = {**os.environ, "PYTHONPATH": request["code"]}
    command = [request["python"], *request["arguments"]]
    ended = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return {"stdout": ended.stdout.decode(errors="replace"), "stderr": ended.stderr.decode(errors="replace")}


def standing(request: dict[str, Any]) -> dict[str, Any]:
    """Return how far a run has come in this folder, and whether its supervisor is alive on this machine."""
    root = Path(request["run"])
    names = [re.fullmatch(r"step-([0-9]+)\.ckpt", path.name) for path in root.glob("checkpoints/*")]
    return {
        "exists": (root / "run.json").exists(),
        "step": max((int(name[1]) for name in names if name), default=None),
        "is_running": is_running_here(read_or_empty(root / "job.json")),
        "is_finished": (root / "result.json").exists(),
    }


def list_files(request: dict[str, Any]) -> dict[str, Any]:
    """Return the SHA-256 of every file to fetch."""
    root = Path(request["run"])
    files = [path for path in sorted(root.rglob("*")) if path.is_file() and is_fetched(path, root, request["ledger"])]
    return {"files": {str(path.relative_to(root)): sha256_of(path) for path in files}}


def is_fetched(path: Path, root: Path, includes_ledger: bool) -> bool:
    """Return whether a file of a run is fetched."""
    if path.name.startswith(".") or path.name in NOT_FETCHED or (path.name == "ledger.npz" and not includes_ledger):
        return False
    if root / WORK_FOLDER in path.parents or path.parent.name == LOCK_OWNER:
        return False
    return path.parent != root / "checkpoints" or path.name == "prequant.ckpt"


def send(request: dict[str, Any]) -> None:
    """Write the named files to stdout as an archive."""
    root = Path(request["run"])
    sys.stdout.buffer.write(ANSWER_MARK.encode())
    with tarfile.open(fileobj=sys.stdout.buffer, mode="w|") as archive:
        for name in request["files"]:
            archive.add(str(root / name), name)


@contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Hold a file lock: one process at a time runs in this context, where files can be locked.

    Elsewhere, of two supervisors started at the same moment, the one whose claim was overwritten ends.
    """
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in LOCKS_NOT_SUPPORTED:
                raise
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


def is_running_here(job: dict[str, Any]) -> bool:
    """Return whether the process of a job is alive on this machine; a later one with the same pid does not count."""
    pid, started = job.get("pid"), job.get("started")
    if not isinstance(pid, int) or started is None or job.get("host", this_host()) != this_host():
        return False
    return bool(process_start(pid) == started)


def is_running(root: Path, job: dict[str, Any]) -> bool:
    """Return whether the supervisor of a run is alive, here or on another machine that has the run directory too."""
    if not job or job.get("host", this_host()) == this_host():
        return is_running_here(job)
    try:
        renewed_at = (root / f"{LEASE_PREFIX}{job.get('claim')}").stat().st_mtime
    except (OSError, ValueError):  # the text of a damaged file may be no file name
        return False
    return time.time() - renewed_at < SILENT_BY_CLOCK_SECONDS


def is_paused(pid: int) -> bool:
    """Return whether a process was stopped by SIGSTOP or its like."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in ("T", "t")
    except (OSError, ValueError, IndexError):
        return False


# As in trainer/recipe/reading.py.
def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading.

    Raises:
        ValueError: it is something else, such as a FIFO or a device.
        OSError: it cannot be opened.
    """
    # Without O_NONBLOCK, opening a FIFO waits for somebody to write to it.
    file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))  # noqa: SIM115
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise ValueError(f"{path}: found a FIFO or a device, expected a regular file")


def read_or_empty(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file; an empty one if there is none, or it is damaged."""
    try:
        with open_regular(path) as file:
            content = json.loads(file.read(MOST_BYTES).decode())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def write_json(path: Path, document: dict[str, Any]) -> None:
    write_text(path, json.dumps(document))


def write_text(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    temporary.write_text(text)
    temporary.replace(path)


COMMANDS = {
    "probe": probe, "missing_files": missing_files, "receive": receive, "unpack": unpack, "start": start, "poll": poll,
    "cancel": cancel, "list_files": list_files, "standing": standing, "examine_self": examine_self,
}  # fmt: skip
SILENT_COMMANDS = {"supervise": supervise, "send": send}


def main() -> int:
    """Run one command and return 0. An error is printed as JSON too."""
    command, request = sys.argv[1], json.loads(sys.argv[2])
    try:
        if command in SILENT_COMMANDS:
            SILENT_COMMANDS[command](request)
            return 0
        answer = COMMANDS[command](request)
    except (OSError, ValueError, tarfile.TarError) as error:
        answer = {"error": str(error)}
    print(f"{ANSWER_MARK}{json.dumps(answer)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
