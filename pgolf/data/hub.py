"""A dataset repository of a hub at one commit: lists its files and downloads them.

huggingface_hub lists, authorizes and downloads, over Xet if hf_xet is installed. It compares sizes only, so checksums
are compared here.
"""

import hashlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from pgolf.data.downloads import SilentBar
from pgolf.data.hub_errors import DamagedDownload, hub_errors
from pgolf.errors import DataError

# Manifests are a few kilobytes.
LARGEST_DOCUMENT_BYTES = 1 << 24
DOWNLOAD_TRIES = 3


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a repository with its expected content."""

    path: str
    size: int
    algorithm: Literal["sha256", "git-sha1"]
    """What the hub lists: SHA-256 for large files, git's blob hash for small ones."""
    digest: str

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    def matches(self, file: Path) -> bool:
        """Return whether a local file has this size and content."""
        return file.is_file() and file.stat().st_size == self.size and self.digest_of(file) == self.digest

    def digest_of(self, file: Path) -> str:
        """Return the digest of a local file by this file's algorithm."""
        if self.algorithm == "git-sha1":
            content = file.read_bytes()
            return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()


class HubRepository:
    """A dataset repository, pinned to its newest commit at construction."""

    def __init__(self, name: str, endpoint: str | None, on_line: Callable[[str], None]) -> None:
        """Ask the hub for the newest commit.

        Raises:
            DataError: the repository cannot be read.
        """
        from huggingface_hub import HfApi

        from pgolf.data.hub_client import configure_huggingface_hub

        configure_huggingface_hub(on_line)
        self.name = name
        self.on_line = on_line
        # The user's token belongs to the default hub and is not sent to a server given on the command line.
        self.token = None if endpoint is None else False
        self.api = HfApi(endpoint=endpoint, token=self.token)
        self.endpoint = self.api.endpoint
        self.revision = self.resolve_revision()

    def resolve_revision(self) -> str:
        """Return the newest commit of the default branch."""
        place = f"dataset {self.name} at {self.endpoint}"
        with hub_errors(place):
            info = self.api.dataset_info(self.name)
        if not info.sha:
            raise DataError(
                f"{place}: the hub's answer has no commit. All files are read at one commit, so nothing can be fetched"
            )
        return info.sha

    def place(self, path: str) -> str:
        """Return the name of a path for error messages."""
        return f"{self.name}: {path or 'its list of files'}"

    def list_files(self, folder: str = "", recursive: bool = False) -> list[HubFile]:
        """Return the files of a folder; an empty list if there is no such folder."""
        from huggingface_hub.errors import EntryNotFoundError

        with hub_errors(self.place(folder)):
            tree = self.api.list_repo_tree(
                self.name, folder or None, recursive=recursive, revision=self.revision, repo_type="dataset"
            )
            try:
                return hub_files([*tree])
            except EntryNotFoundError:
                return []

    def find_first(self, *paths: str) -> HubFile | None:
        """Return the first of the paths that is a file."""
        with hub_errors(self.place(paths[0])):
            found = self.api.get_paths_info(self.name, [*paths], revision=self.revision, repo_type="dataset")
            by_path = {file.path: file for file in hub_files(found)}
        return next((by_path[path] for path in paths if path in by_path), None)

    def read_document(self, file: HubFile) -> bytes:
        """Return the content of a small file."""
        if file.size > LARGEST_DOCUMENT_BYTES:
            raise DataError(
                f"{self.place(file.path)}: found {file.size:,} bytes, expected a manifest of at most "
                f"{LARGEST_DOCUMENT_BYTES:,}"
            )
        with TemporaryDirectory() as folder:
            return self.download(file, Path(folder)).read_bytes()

    def download(self, file: HubFile, folder: Path, on_bytes: Callable[[int], None] = lambda _: None) -> Path:
        """Download a file into a folder, at its path in the repository; `on_bytes` is called as bytes arrive.

        Raises:
            DataError: the download fails, or is damaged several times.
            MachineError: the download cannot be written.
        """
        for _ in range(DOWNLOAD_TRIES - 1):
            try:
                return self.download_once(file, folder, on_bytes)
            except DamagedDownload:
                self.on_line(f"{file.name} was damaged on its way; downloading it again")
        return self.download_once(file, folder, on_bytes)

    def download_once(self, file: HubFile, folder: Path, on_bytes: Callable[[int], None]) -> Path:
        """Download a file once.

        Raises:
            DamagedDownload: its size or checksum differ from what the hub lists; it is deleted.
        """
        from huggingface_hub import hf_hub_download

        with hub_errors(self.place(file.path), folder), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a full disk; there is an error if the file does not fit
            received = hf_hub_download(
                self.name, file.path, repo_type="dataset", revision=self.revision, local_dir=folder,
                endpoint=self.endpoint, token=self.token,
                tqdm_class=type("Bar", (SilentBar,), {"update": lambda _, count: on_bytes(count)}),
            )  # fmt: skip
        path = Path(received)
        if file.matches(path):
            return path
        found = file.digest_of(path)
        path.unlink()
        raise DamagedDownload(
            f"{self.place(file.path)}: found {file.algorithm} {found[:12]}..., expected {file.digest[:12]}... as the "
            "hub lists it"
        )


def hub_files(entries: list[Any]) -> list[HubFile]:
    """Return the files among the entries of a listing."""
    from huggingface_hub.hf_api import RepoFile

    files = [entry for entry in entries if isinstance(entry, RepoFile)]
    return [
        HubFile(file.path, file.lfs.size, "sha256", file.lfs.sha256)
        if file.lfs
        else HubFile(file.path, file.size, "git-sha1", file.blob_id)
        for file in files
    ]
