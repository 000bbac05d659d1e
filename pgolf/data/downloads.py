"""Files from a repository to this machine: resumed where they stopped, kept only when they are what the hub says."""

import shutil
from io import FileIO
from pathlib import Path
from typing import Protocol

from pgolf.data.hub import HubFile, HubRepository
from pgolf.data.hub_errors import Retries, TryAgain
from pgolf.errors import DataError, MachineError

# Manifest, logs and the first checkpoints of a run.
MARGIN_BYTES = 1 << 28


class FetchDisplay(Protocol):
    """What a fetch tells while it works."""

    def say(self, line: str) -> None: ...
    def expect(self, total_bytes: int) -> None: ...
    def start(self, name: str) -> None: ...
    def advance(self, count: int) -> None: ...
    def finish(self, name: str, size: int) -> None: ...


class Downloads:
    """Downloads of one repository, through parts in a scratch folder on the same disk as where they end up."""

    def __init__(self, repository: HubRepository, scratch: Path, display: FetchDisplay) -> None:
        self.repository = repository
        self.scratch = scratch
        self.display = display

    def part(self, file: HubFile) -> Path:
        """Where the bytes of a file gather. Named by content: another revision's bytes are never gone on with."""
        return self.scratch / f"{file.digest}.part"

    def received_bytes(self, file: HubFile) -> int:
        """How much of a file earlier attempts have left."""
        part = self.part(file)
        return min(part.stat().st_size, file.size) if part.exists() else 0

    def clear_others(self, wanted: list[HubFile]) -> None:
        """Nothing; parts that nothing will go on with are gone."""
        kept = {self.part(file) for file in wanted}
        for part in self.scratch.glob("*.part"):
            if part not in kept:
                part.unlink()

    def fetch(self, file: HubFile, destination: Path) -> None:
        """Nothing; the destination is the hub's file, to the bit.

        Raises: DataError when it cannot be had or comes with another content.
        """
        part = self.part(file)
        was_resumed = self.received_bytes(file) > 0
        self.display.start(file.name)
        self.fill(file, part)
        if was_resumed and not file.describes(part):
            self.display.say(f"{file.name}: what an earlier attempt left does not fit; fetching it whole")
            self.display.advance(-file.size)
            part.unlink()
            self.fill(file, part)
        if not file.describes(part):
            found = file.digest_of(part)
            part.unlink()
            raise DataError(
                f"{self.repository.place(file.path)} came with {file.algorithm} {found[:12]}..., the hub lists "
                f"{file.digest[:12]}...; it was changed on its way and is deleted. Run the same command again"
            )
        part.replace(destination)
        self.display.finish(file.name, file.size)

    def fill(self, file: HubFile, part: Path) -> None:
        """Nothing; the part has as many bytes as the file."""
        part.touch()
        retries = Retries(self.repository.place(file.path), self.display.say)
        while (before := part.stat().st_size) < file.size:
            try:
                self.receive(file, part, before)
                if part.stat().st_size < file.size:
                    raise TryAgain(f"ended after {part.stat().st_size:,} of {file.size:,} bytes")
            except TryAgain as reason:
                if part.stat().st_size > before:
                    retries.renew()
                retries.wait(reason)

    def receive(self, file: HubFile, part: Path, offset: int) -> None:
        """Nothing; the part has the bytes of one answer, and none above the file's size."""
        with self.repository.open(file, offset) as body, part.open("r+b", buffering=0) as content:
            if body.begin > offset:
                raise TryAgain(f"bytes from {offset:,} on were asked for, those from {body.begin:,} on came")
            content.seek(body.begin)
            content.truncate()
            self.display.advance(body.begin - offset)
            room = file.size - body.begin
            for chunk in body.chunks:
                if len(chunk) > room:
                    part.unlink()
                    raise DataError(
                        f"{self.repository.place(file.path)} came with more than the {file.size:,} bytes that the hub "
                        "lists; they are deleted. Run the same command again"
                    )
                write(part, content, chunk)
                room -= len(chunk)
                self.display.advance(len(chunk))


def write(part: Path, content: FileIO, chunk: bytes) -> None:
    """Nothing; the chunk is in the file, for other processes too.

    Raises: MachineError naming the file.
    """
    try:
        rest = memoryview(chunk)
        while rest:
            rest = rest[content.write(rest) :]
    except OSError as error:
        raise MachineError(f"{part}: {error.strerror}; what has arrived is kept, make room and go on") from error


def check_room(folder: Path, needed_bytes: int) -> None:
    """Nothing, if the disk has room.

    Raises: MachineError naming what is needed and what is there.
    """
    free = shutil.disk_usage(folder).free
    if needed_bytes and free < needed_bytes + MARGIN_BYTES:
        raise MachineError(
            f"{folder}: {needed_bytes:,} bytes are still to be fetched and {MARGIN_BYTES:,} should stay free, the disk "
            f"has {free:,}. Make room, give another --out, or ask for fewer --train-shards"
        )
