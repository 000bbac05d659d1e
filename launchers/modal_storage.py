"""Modal Volumes as the client uses them: shards by their hash, runs by their id."""

import hashlib
import io
import tarfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from launchers.modal_worker import CALLS_FOLDER, DATA_MOUNT, STOP_FILE
from launchers.ssh_agent import is_fetched
from pgolf.errors import LauncherError
from pgolf.launching.shipping import run_archive, shard_hashes
from pgolf.rundir import RunDirectory

MANIFEST = "manifest.json"


def file_sizes(volume: Any, folder: str) -> dict[str, int]:
    """Return the sizes of all files below a folder of a Volume, by their path in it; empty if it does not exist."""
    from modal.exception import NotFoundError

    try:
        entries = volume.listdir(f"/{folder}", recursive=True)
    except (NotFoundError, FileNotFoundError):
        return {}
    files = (entry for entry in entries if entry.type.name == "FILE")
    return {str(PurePosixPath("/", e.path).relative_to(PurePosixPath("/", folder))): e.size for e in files}


def send_data(volume: Any, run: RunDirectory) -> str:
    """Upload the run's missing shards and return their folder in a container.

    The manifest is uploaded last and alone, so that a folder with a manifest is complete.
    """
    if run.read_run()["data_sha256"] is None:  # a script that finds its data by itself
        return ""
    here, identity = Path(run.read_run()["data_folder"]), run.read_run()["data_sha256"]
    there = file_sizes(volume, identity)
    missing = [name for name in shard_hashes(here) if there.get(name) != (here / name).stat().st_size]
    for names in ([name for name in missing if name != MANIFEST], [MANIFEST] if missing else []):
        if names:
            with volume.batch_upload(force=True) as batch:
                for name in names:
                    batch.put_file(here / name, f"/{identity}/{name}")
    return f"{DATA_MOUNT}/{identity}"


def send_run(volume: Any, run: RunDirectory, data_folder: str) -> None:
    """Upload what the run directory begins with. One that is there already is left as it is."""
    if "run.json" in file_sizes(volume, run.remote_id):
        return
    with (
        tarfile.open(fileobj=io.BytesIO(run_archive(run, data_folder))) as archive,
        volume.batch_upload(force=True) as batch,
    ):
        for entry in archive:
            content = archive.extractfile(entry)
            assert content is not None, f"{entry.name} is a file"
            batch.put_file(io.BytesIO(content.read()), f"/{run.remote_id}/{entry.name}")


def calls_of(volume: Any, run_id: str) -> list[str]:
    """Return the ids of all calls that began to work on a run."""
    return [PurePosixPath(name).name for name in file_sizes(volume, f"{run_id}/{CALLS_FOLDER}")]


def request_stop(volume: Any, run_id: str) -> bool:
    """Ask the worker to stop, which it sees at its next commit; return False if it had been asked before."""
    if STOP_FILE in file_sizes(volume, run_id):
        return False
    with volume.batch_upload() as batch:
        batch.put_file(io.BytesIO(b"stop"), f"/{run_id}/{STOP_FILE}")
    return True


def withdraw_stop(volume: Any, run_id: str) -> None:
    """Remove the request to stop, so that the next job of this run may work."""
    if STOP_FILE in file_sizes(volume, run_id):
        volume.remove_file(f"/{run_id}/{STOP_FILE}")


def read_committed(volume: Any, run_id: str, name: str) -> bytes | None:
    """Return the last committed content of a run's file, or None if there is none yet."""
    from modal.exception import NotFoundError

    try:
        return b"".join(volume.read_file(f"{run_id}/{name}"))
    except (FileNotFoundError, NotFoundError):
        return None


def receive_run(volume: Any, run_id: str, folder: Path, includes_ledger: bool, hashes: dict[str, str]) -> None:
    """Download the files of a run into `folder`; `hashes` are the SHA-256 that the container computed.

    Raises:
        LauncherError: one of them arrives changed.
    """
    root = Path("/")
    for name in fetched_names(file_sizes(volume, run_id), root, includes_ledger):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            volume.read_file_into_fileobj(f"{run_id}/{name}", file)
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if hashes.get(name, found) != found:
            raise LauncherError(f"{run_id}: {name} was damaged on its way; run `pgolf fetch` again")


def fetched_names(names: Iterable[str], root: Path, includes_ledger: bool) -> list[str]:
    """Return the names of the files to fetch."""
    own = (name for name in names if not name.startswith(f"{CALLS_FOLDER}/") and name != STOP_FILE)
    return [name for name in own if is_fetched(root / name, root, includes_ledger)]
