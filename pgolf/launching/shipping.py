"""Files that travel: the trainer's code and the shards by their hash, a run directory there and back."""

import gzip
import hashlib
import io
import json
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trainer.recipe.files
from pgolf.errors import LauncherError, MachineError
from pgolf.rundir import RunDirectory
from trainer.recipe.files import DataFiles
from trainer.recipe.reading import read_json
from trainer.recipe.writing import write_json, write_whole

TRAINER_FOLDER = Path(trainer.recipe.files.__file__).parents[1]
# Files of a run directory that the trainer elsewhere has no use for. run.json is shipped with another data folder.
NOT_SHIPPED = ("handle.json", "preflight.json", "run.lock", "state.json", "train.log", "run.json")
# What the trainer adds to run.json.
ENVIRONMENT_KEYS = ("environment", "resumed_under")


def trainer_archive() -> bytes:
    """Return the trainer's package as tar.gz; the same bytes for the same code."""
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as archive:
        for path in sorted(TRAINER_FOLDER.rglob("*.py")):
            add_file(archive, f"trainer/{path.relative_to(TRAINER_FOLDER).as_posix()}", path.read_bytes())
    return buffer.getvalue()


def run_archive(run: RunDirectory, data_folder: str) -> bytes:
    """Return what a run directory begins with elsewhere as tar.gz: its documents, the user's code, inherited weights.

    `data_folder` is where the shards lie there.
    """
    document = run.read_run() | {"data_folder": data_folder}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path in sorted(run.root.rglob("*")):
            if path.is_file() and path.name not in NOT_SHIPPED and not path.name.startswith("."):
                add_file(archive, path.relative_to(run.root).as_posix(), path.read_bytes())
        add_file(archive, run.files.run.name, json.dumps(document, indent=2).encode())
    return buffer.getvalue()


def add_file(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add a file without owner and date to an archive."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o644
    archive.addfile(entry, io.BytesIO(content))


def attempt_settings(run: RunDirectory) -> dict[str, Any]:
    """Return the part of run.json that may change between attempts: devices, stop rule, the plan it compares with."""
    document = run.read_run()
    return {key: document.get(key) for key in ("stop", "plan", "gpu", "device")}


def shards_of(run: RunDirectory) -> dict[str, str]:
    """Return the SHA-256 of each file of a run's data; empty for a script that finds its data by itself."""
    folder = run.read_run()["data_folder"]
    return {} if folder is None else shard_hashes(Path(folder))


def shard_hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of a folder of shards, as its manifest lists them; the manifest itself last."""
    files = DataFiles(folder)
    manifest = read_json(files.manifest)
    hashes = {files.tokenizer.name: manifest["tokenizer"]["sha256"]}
    for split in ("train", "validation"):
        entries = [*manifest[split]["shards"], *manifest[split].get("sidecars", ())]
        hashes |= {entry["file"]: entry["sha256"] for entry in entries}
    return hashes | {files.manifest.name: hashlib.sha256(files.manifest.read_bytes()).hexdigest()}


@contextmanager
def fetching(run: RunDirectory) -> Iterator[Path]:
    """Yield an empty folder for the files that a job wrote elsewhere; on leaving, they replace those of the run.

    Raises:
        LauncherError: the files are those of another run; nothing is replaced.
        MachineError: the files cannot be written here.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=".fetched-", dir=run.root) as folder:
            yield Path(folder)
            accept_files(run, Path(folder))
    except OSError as error:
        raise MachineError.from_os_error(error, run.root) from error


def accept_files(run: RunDirectory, draft: Path) -> None:
    """Move the files of `draft` into the run directory, result.json last, so that a run with a result is complete.

    spec.json stays as it is here; of run.json only the environments are taken.
    """
    check_same_run(run, draft)
    for path in result_last(draft):
        target = run.root / path.relative_to(draft)
        if path == draft / run.files.spec.name:
            continue
        if path == draft / run.files.run.name:
            found = read_json(path)
            write_json(target, run.read_run() | {key: found[key] for key in ENVIRONMENT_KEYS if key in found})
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)


def check_same_run(run: RunDirectory, draft: Path) -> None:
    """Check that a fetched result is that of this run.

    Raises:
        LauncherError: it is of another run; names what differs.
    """
    result = draft / run.files.result.name
    if not result.exists():
        return
    found, here = read_json(result), run.read_run()
    for key in ("run_id", "spec_sha256", "code_sha256", "data_sha256"):
        if found.get(key) != here.get(key):
            raise LauncherError(
                f"the result fetched for {run.run_id} has {key} {found.get(key)}, expected {here.get(key)}; it was not "
                "taken over. Start another attempt with --fresh"
            )


def result_last(folder: Path) -> list[Path]:
    """Return all files below a folder, result.json last."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return sorted(files, key=lambda path: path.name == "result.json")


def mirrored_files(run: RunDirectory) -> tuple[Path, ...]:
    """Return the growing text files of a run, which a poll brings up to date here."""
    return run.files.log, run.files.metrics, run.files.state, run.files.attempts


def fingerprint_of(path: Path) -> tuple[int, str]:
    """Return size and SHA-256 of a text file as far as it is here."""
    content = path.read_bytes() if path.exists() else b""
    return len(content), hashlib.sha256(content).hexdigest()


def text_update(content: bytes, size: int, digest: str) -> dict[str, Any]:
    """Return what a text holds after its first `size` bytes, if `digest` is their SHA-256; otherwise all of it."""
    begin = size if hashlib.sha256(content[:size]).hexdigest() == digest else 0
    return {"begin": begin, "text": content[begin:].decode("utf-8", "surrogateescape")}


def apply_update(path: Path, update: dict[str, Any] | None) -> None:
    """Bring a text file here up to date with its original; None leaves it alone."""
    if update is None or (update["begin"] and not update["text"]):
        return
    text = update["text"].encode("utf-8", "surrogateescape")
    if not update["begin"]:
        write_whole(path, text)
        return
    with path.open("r+b") as file:
        file.seek(update["begin"])
        file.truncate()
        file.write(text)
