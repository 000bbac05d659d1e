"""A dataset repository of a hub at one commit: lists its files and streams their bytes.

huggingface_hub does listing, URLs and authorization. Bytes are streamed here because its hf_hub_download (2.4) does not
resume (each attempt has its own file name, deleted on failure) and compares sizes, never checksums.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pgolf.data.hub_errors import Retries, TransientError, hub_errors
from pgolf.errors import DataError

TIMEOUT_SECONDS = 30.0
CHUNK_BYTES = 1 << 20
# Manifests are a few kilobytes.
LARGEST_DOCUMENT_BYTES = 1 << 24


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
        digest = hashlib.sha256() if self.algorithm == "sha256" else hashlib.sha1(usedforsecurity=False)
        if self.algorithm == "git-sha1":
            digest.update(b"blob %d\0" % file.stat().st_size)
        with file.open("rb") as content:
            while chunk := content.read(CHUNK_BYTES):
                digest.update(chunk)
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Body:
    """The body of an HTTP response."""

    offset: int
    """Position in the file of the first byte; 0 if the server ignored the range."""
    chunks: Iterator[bytes]


class HubRepository:
    """A dataset repository, pinned to its newest commit at construction."""

    def __init__(self, name: str, endpoint: str | None, on_line: Callable[[str], None]) -> None:
        """Ask the hub for the newest commit.

        Raises:
            DataError: the repository cannot be read.
        """
        from huggingface_hub import HfApi

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
        info = Retries(place, self.on_line).call(lambda: self.api.dataset_info(self.name, timeout=TIMEOUT_SECONDS))
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

        def list_tree() -> list[Any]:
            tree = self.api.list_repo_tree(
                self.name, folder or None, recursive=recursive, revision=self.revision, repo_type="dataset"
            )
            try:
                return [*tree]
            except EntryNotFoundError:
                return []

        return hub_files(Retries(self.place(folder), self.on_line).call(list_tree))

    def find_first(self, *paths: str) -> HubFile | None:
        """Return the first of the paths that is a file."""
        found = Retries(self.place(paths[0]), self.on_line).call(
            lambda: self.api.get_paths_info(self.name, [*paths], revision=self.revision, repo_type="dataset")
        )
        by_path = {file.path: file for file in hub_files(found)}
        return next((by_path[path] for path in paths if path in by_path), None)

    def read_document(self, file: HubFile) -> bytes:
        """Return the content of a small file."""
        if file.size > LARGEST_DOCUMENT_BYTES:
            raise DataError(
                f"{self.place(file.path)}: found {file.size:,} bytes, expected a manifest of at most "
                f"{LARGEST_DOCUMENT_BYTES:,}"
            )

        def read_body() -> bytes:
            with self.open(file, 0) as body:
                content = b"".join(body.chunks)
            if len(content) != file.size:
                raise TransientError(f"received {len(content):,} bytes, the hub lists {file.size:,}")
            return content

        return Retries(self.place(file.path), self.on_line).call(read_body)

    @contextmanager
    def open(self, file: HubFile, offset: int) -> Iterator[Body]:
        """Yield a file's bytes from an offset on.

        Raises:
            TransientError: the connection breaks.
            DataError: the hub refuses.
        """
        from huggingface_hub import get_session, hf_hub_url
        from huggingface_hub.utils import build_hf_headers, hf_raise_for_status  # type: ignore[attr-defined]

        url = hf_hub_url(self.name, file.path, repo_type="dataset", revision=self.revision, endpoint=self.endpoint)
        # A compressed body would make byte counts and ranges disagree with the file's.
        headers = build_hf_headers(token=self.token) | {"Accept-Encoding": "identity"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
        with (
            hub_errors(self.place(file.path)),
            get_session().stream("GET", url, headers=headers, timeout=TIMEOUT_SECONDS, follow_redirects=True) as answer,
        ):
            if answer.is_error:
                answer.read()
            hf_raise_for_status(answer)
            # No fixed chunk size: if the connection breaks, an incomplete chunk would be lost.
            yield Body(start_offset(answer.status_code, answer.headers), answer.iter_bytes())


def start_offset(status: int, headers: Any) -> int:
    """Return the position in the file of a response's first byte."""
    if status != 206:
        return 0
    found = re.match(r"bytes (\d+)-", headers.get("Content-Range", ""))
    if found is None:
        raise TransientError(f"a partial response has no valid Content-Range: {headers.get('Content-Range')!r}")
    return int(found[1])


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
