"""One dataset repository of a hub at one commit: what it holds, and its bytes.

huggingface_hub lists, names and authorizes. The bytes are received here: its hf_hub_download gives every attempt a file
name of its own and deletes it on failure (2.4: no resuming), and compares sizes, never checksums.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pgolf.data.hub_errors import Retries, TryAgain, hub_errors
from pgolf.errors import DataError

TIMEOUT_SECONDS = 30.0
CHUNK_BYTES = 1 << 20
# Manifests are a few kilobytes.
LARGEST_DOCUMENT_BYTES = 1 << 24


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a repository, and what its content must be."""

    path: str
    size: int
    algorithm: Literal["sha256", "git-sha1"]
    """SHA-256 for large files, git's blob hash for small ones: what the hub tells of each."""
    digest: str

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    def describes(self, file: Path) -> bool:
        """Whether a file on this machine has this size and content."""
        return file.is_file() and file.stat().st_size == self.size and self.digest_of(file) == self.digest

    def digest_of(self, file: Path) -> str:
        """The digest of a file on this machine, by this file's algorithm."""
        digest = hashlib.sha256() if self.algorithm == "sha256" else hashlib.sha1(usedforsecurity=False)
        if self.algorithm == "git-sha1":
            digest.update(b"blob %d\0" % file.stat().st_size)
        with file.open("rb") as content:
            while chunk := content.read(CHUNK_BYTES):
                digest.update(chunk)
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Body:
    """Bytes on their way."""

    begin: int
    """Where in the file they start: 0 where the server does not resume."""
    chunks: Iterator[bytes]


class HubRepository:
    """A dataset repository, pinned to the commit that was newest when it was opened."""

    def __init__(self, name: str, endpoint: str | None, on_line: Callable[[str], None]) -> None:
        """Raises: DataError when the repository cannot be read."""
        from huggingface_hub import HfApi

        self.name = name
        self.on_line = on_line
        # The user's token is for the user's hub; a server named on the command line does not get it.
        self.token = None if endpoint is None else False
        self.api = HfApi(endpoint=endpoint, token=self.token)
        self.endpoint = self.api.endpoint
        self.revision = self.resolve_revision()

    def resolve_revision(self) -> str:
        """The newest commit of the default branch."""
        place = f"dataset {self.name} at {self.endpoint}"
        info = Retries(place, self.on_line).call(lambda: self.api.dataset_info(self.name, timeout=TIMEOUT_SECONDS))
        if not info.sha:
            raise DataError(
                f"{place}: the hub names no commit; a commit is expected, so that all files belong together"
            )
        return info.sha

    def place(self, path: str) -> str:
        """How errors name a path of this repository."""
        return f"{self.name}: {path or 'its list of files'}"

    def list_files(self, folder: str = "", recursive: bool = False) -> list[HubFile]:
        """The files of a folder; none where there is no such folder."""
        from huggingface_hub.errors import EntryNotFoundError

        def listed() -> list[Any]:
            tree = self.api.list_repo_tree(
                self.name, folder or None, recursive=recursive, revision=self.revision, repo_type="dataset"
            )
            try:
                return [*tree]
            except EntryNotFoundError:
                return []

        return hub_files(Retries(self.place(folder), self.on_line).call(listed))

    def find_first(self, *paths: str) -> HubFile | None:
        """The first of some paths that is a file."""
        found = Retries(self.place(paths[0]), self.on_line).call(
            lambda: self.api.get_paths_info(self.name, [*paths], revision=self.revision, repo_type="dataset")
        )
        by_path = {file.path: file for file in hub_files(found)}
        return next((by_path[path] for path in paths if path in by_path), None)

    def read_document(self, file: HubFile) -> bytes:
        """The content of a small file."""
        if file.size > LARGEST_DOCUMENT_BYTES:
            raise DataError(f"{self.place(file.path)} has {file.size:,} bytes; a manifest has a few thousand")

        def whole() -> bytes:
            with self.open(file, 0) as body:
                content = b"".join(body.chunks)
            if len(content) != file.size:
                raise TryAgain(f"{len(content):,} bytes came, the hub lists {file.size:,}")
            return content

        return Retries(self.place(file.path), self.on_line).call(whole)

    @contextmanager
    def open(self, file: HubFile, offset: int) -> Iterator[Body]:
        """The bytes of a file from an offset on.

        Raises: TryAgain when they stop coming, DataError when the hub refuses.
        """
        from huggingface_hub import get_session, hf_hub_url
        from huggingface_hub.utils import build_hf_headers, hf_raise_for_status  # type: ignore[attr-defined]

        url = hf_hub_url(self.name, file.path, repo_type="dataset", revision=self.revision, endpoint=self.endpoint)
        # A compressed answer would be counted in other bytes than those asked for.
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
            # Not in chunks of a size: a connection that breaks would take the unfilled chunk with it.
            yield Body(begin_of(answer.status_code, answer.headers), answer.iter_bytes())


def begin_of(status: int, headers: Any) -> int:
    """Where in the file an answer starts."""
    if status != 206:
        return 0
    found = re.match(r"bytes (\d+)-", headers.get("Content-Range", ""))
    if found is None:
        raise TryAgain(f"a part came that does not say which: Content-Range {headers.get('Content-Range')!r}")
    return int(found[1])


def hub_files(entries: list[Any]) -> list[HubFile]:
    """The files among the entries of a listing."""
    from huggingface_hub.hf_api import RepoFile

    files = [entry for entry in entries if isinstance(entry, RepoFile)]
    return [
        HubFile(file.path, file.lfs.size, "sha256", file.lfs.sha256)
        if file.lfs
        else HubFile(file.path, file.size, "git-sha1", file.blob_id)
        for file in files
    ]
