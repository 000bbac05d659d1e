"""What travels: the trainer's code and shards by their hash, a run directory there and back."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import trainer.recipe.files
from pgolf.errors import LauncherError
from pgolf.rundir import RunDirectory
from trainer.recipe.files import DataFiles, read_json, write_json, write_whole

TRAINER = Path(trainer.recipe.files.__file__).parents[1]
# Written where a run was made, and of no use to the trainer.
STAYS_HOME = ("handle.json", "preflight.json", "run.lock", "state.json", "train.log", "run.json")


def trainer_archive() -> bytes:
    """The trainer's package as tar.gz; the same bytes for the same code."""
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as archive:
        for path in sorted(TRAINER.rglob("*.py")):
            add_file(archive, f"trainer/{path.relative_to(TRAINER).as_posix()}", path.read_bytes())
    return buffer.getvalue()


def run_archive(run: RunDirectory, data_folder: str) -> bytes:
    """What a run directory begins with elsewhere, as tar.gz: its documents, the user's code, inherited weights."""
    document = run.read_run() | {"data_folder": data_folder}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path in sorted(run.root.rglob("*")):
            if path.is_file() and path.name not in STAYS_HOME and not path.name.startswith("."):
                add_file(archive, path.relative_to(run.root).as_posix(), path.read_bytes())
        add_file(archive, run.files.run.name, json.dumps(document, indent=2).encode())
    return buffer.getvalue()


def present_rule(run: RunDirectory) -> dict[str, Any]:
    """What of run.json may be another at each attempt: the stop rule, and the plan it compares with."""
    document = run.read_run()
    return {key: document.get(key) for key in ("stop", "plan")}


def add_file(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    """Nothing; the archive holds a file without owner and date."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o644
    archive.addfile(entry, io.BytesIO(content))


def shards_of(run: RunDirectory) -> dict[str, str]:
    """SHA-256 of each file of a run's data; nothing of a script that finds its data by itself."""
    folder = run.read_run()["data_folder"]
    return {} if folder is None else shard_hashes(Path(folder))


def shard_hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of each file of a folder of shards, as its manifest has them; the manifest itself comes last."""
    files = DataFiles(folder)
    manifest = read_json(files.manifest)
    hashes = {files.tokenizer.name: manifest["tokenizer"]["sha256"]}
    for split in ("train", "validation"):
        hashes |= {shard["file"]: shard["sha256"] for shard in manifest[split]["shards"]}
    return hashes | {files.manifest.name: hashlib.sha256(files.manifest.read_bytes()).hexdigest()}


def take_in(run: RunDirectory, draft: Path) -> None:
    """Nothing; what a job wrote elsewhere and lies in `draft` is in the run directory. The result comes last, for where
    it is, everything is.
    """
    check_same_run(run, draft)
    for path in in_order(draft):
        target = run.root / path.relative_to(draft)
        if path == draft / run.files.spec.name:
            continue
        if path == draft / run.files.run.name:
            write_json(target, run.read_run() | {"environment": read_json(path)["environment"]})
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)


def check_same_run(run: RunDirectory, draft: Path) -> None:
    """Nothing, if a result that came back is that of this run.

    Raises: LauncherError naming what differs; nothing has been taken in then.
    """
    result = draft / run.files.result.name
    if not result.exists():
        return
    found, here = read_json(result), run.read_run()
    for key in ("run_id", "spec_sha256", "code_sha256", "data_sha256"):
        if found.get(key) != here.get(key):
            raise LauncherError(
                f"what came back for {run.run_id} has {key} {found.get(key)}, this run has {here.get(key)}; it was "
                "left there. --fresh starts another attempt"
            )


def in_order(draft: Path) -> Iterator[Path]:
    """All files, result.json last."""
    files = [path for path in sorted(draft.rglob("*")) if path.is_file()]
    return iter(sorted(files, key=lambda path: path.name == "result.json"))


def known_text(path: Path) -> tuple[int, str]:
    """Size and SHA-256 of a text file as far as it is here."""
    content = path.read_bytes() if path.exists() else b""
    return len(content), hashlib.sha256(content).hexdigest()


def news_of(content: bytes, size: int, digest: str) -> dict[str, Any]:
    """What a text holds after its first `size` bytes, if these are the known ones; else all of it."""
    begin = size if hashlib.sha256(content[:size]).hexdigest() == digest else 0
    return {"begin": begin, "text": content[begin:].decode("utf-8", "surrogateescape")}


def add_news(path: Path, news: dict[str, Any] | None) -> None:
    """Nothing; the file holds what it holds elsewhere."""
    if news is None or (news["begin"] and not news["text"]):
        return
    text = news["text"].encode("utf-8", "surrogateescape")
    if not news["begin"]:
        write_whole(path, text)
        return
    with path.open("r+b") as file:
        file.seek(news["begin"])
        file.truncate()
        file.write(text)
