"""Downloads files from a hub repository: resumed after interruptions, kept only if the checksum matches."""

import shutil
from io import FileIO
from pathlib import Path
from typing import Protocol

from pgolf.data.hub import HubFile, HubRepository
from pgolf.data.hub_errors import Retries, TransientError
from pgolf.errors import DataError, MachineError

# Leaves room for the manifest, logs and the first checkpoints of a run.
MARGIN_BYTES = 1 << 28


class FetchDisplay(Protocol):
    """Receives the progress of a fetch."""

    def say(self, line: str) -> None: ...
    def expect(self, total_bytes: int) -> None: ...
    def start(self, name: str) -> None: ...
    def advance(self, count: int) -> None: ...
    def finish(self, name: str, size: int) -> None: ...


class Downloads:
    """Downloads files of one repository via partial files in a scratch folder on the destination's disk."""

    def __init__(self, repository: HubRepository, scratch: Path, display: FetchDisplay) -> None:
        self.repository = repository
        self.scratch = scratch
        self.display = display

    def part_path(self, file: HubFile) -> Path:
        """Return the partial file, named by content so that a download never resumes another revision's bytes."""
        return self.scratch / f"{file.digest}.part"

    def received_bytes(self, file: HubFile) -> int:
        """Return the number of bytes that earlier attempts have downloaded."""
        part = self.part_path(file)
        return min(part.stat().st_size, file.size) if part.exists() else 0

    def delete_stale_parts(self, wanted: list[HubFile]) -> None:
        """Delete partial files that belong to none of the wanted files."""
        kept = {self.part_path(file) for file in wanted}
        for part in self.scratch.glob("*.part"):
            if part not in kept:
                part.unlink()

    def fetch(self, file: HubFile, destination: Path) -> None:
        """Download a file to `destination` and verify its checksum.

        Raises:
            DataError: the download fails or the checksum differs.
        """
        part = self.part_path(file)
        was_resumed = self.received_bytes(file) > 0
        self.display.start(file.name)
        self.complete(file, part)
        if was_resumed and not file.matches(part):
            self.display.say(f"{file.name}: the resumed download has a wrong checksum; downloading it from the start")
            self.display.advance(-file.size)
            part.unlink()
            self.complete(file, part)
        if not file.matches(part):
            found = file.digest_of(part)
            part.unlink()
            raise DataError(
                f"{self.repository.place(file.path)}: found {file.algorithm} {found[:12]}..., expected "
                f"{file.digest[:12]}... as the hub lists it. The download was corrupted and has been deleted; run the "
                "same command again"
            )
        part.replace(destination)
        self.display.finish(file.name, file.size)

    def complete(self, file: HubFile, part: Path) -> None:
        """Download until the partial file has the file's size, retrying transient failures."""
        part.touch()
        retries = Retries(self.repository.place(file.path), self.display.say)
        while (before := part.stat().st_size) < file.size:
            try:
                self.receive(file, part, before)
                if part.stat().st_size < file.size:
                    raise TransientError(f"the download ended after {part.stat().st_size:,} of {file.size:,} bytes")
            except TransientError as reason:
                if part.stat().st_size > before:
                    retries.reset()
                retries.wait(reason)

    def receive(self, file: HubFile, part: Path, offset: int) -> None:
        """Write the body of one HTTP response to the partial file, at most up to the file's size."""
        with self.repository.open(file, offset) as body, part.open("r+b", buffering=0) as content:
            if body.offset > offset:
                raise TransientError(f"requested bytes from {offset:,} on, received bytes from {body.offset:,} on")
            content.seek(body.offset)
            content.truncate()
            self.display.advance(body.offset - offset)
            room = file.size - body.offset
            for chunk in body.chunks:
                if len(chunk) > room:
                    part.unlink()
                    raise DataError(
                        f"{self.repository.place(file.path)}: received more than the {file.size:,} bytes that the hub "
                        "lists. The download has been deleted; run the same command again"
                    )
                append(part, content, chunk)
                room -= len(chunk)
                self.display.advance(len(chunk))


def append(part: Path, content: FileIO, chunk: bytes) -> None:
    """Write a whole chunk to an unbuffered file.

    Raises:
        MachineError: it cannot be written; names the file.
    """
    try:
        rest = memoryview(chunk)
        while rest:
            rest = rest[content.write(rest) :]
    except OSError as error:
        raise MachineError(
            f"{part}: {error.strerror}. Downloaded bytes are kept; free some space and run the same command again"
        ) from error


def check_room(folder: Path, needed_bytes: int) -> None:
    """Check that the disk has room for `needed_bytes` and the margin.

    Raises:
        MachineError: the disk is too full; gives the needed and the free bytes.
    """
    free = shutil.disk_usage(folder).free
    if needed_bytes and free < needed_bytes + MARGIN_BYTES:
        raise MachineError(
            f"{folder}: the fetch needs {needed_bytes:,} bytes plus {MARGIN_BYTES:,} of free space, the disk has "
            f"{free:,}. Free some space, choose another --out, or lower --train-shards"
        )
