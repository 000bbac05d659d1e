"""Checkpoints, written atomically and verified by SHA-256."""

import hashlib
import io
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from trainer.recipe.reading import open_regular
from trainer.recipe.writing import write_whole

MAGIC = b"PGCKPT1\n"
KEPT_CHECKPOINTS = 2
# Writing may take at most one part in this many of the training time.
OVERHEAD_DIVISOR = 25
SHORTEST_INTERVAL_SECONDS = 1.0
# A run with a small state loses at most this many seconds to a kill, even on a slow disk.
SMALL_STATE_BYTES, LONGEST_SMALL_INTERVAL_SECONDS = 100_000_000, 4.0


class CheckpointDamaged(Exception):
    """The file is not a checkpoint, or not as it was written."""


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a state and its SHA-256 to `path`."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    payload = buffer.getbuffer()
    path.parent.mkdir(exist_ok=True)
    write_whole(path, MAGIC + hashlib.sha256(payload).digest() + payload)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return the state in a checkpoint, on the CPU.

    Raises:
        CheckpointDamaged: a byte differs from what was written.
    """
    try:
        with open_regular(path) as file:
            content = memoryview(file.read())
    except ValueError as error:
        raise CheckpointDamaged(str(error)) from error
    start = len(MAGIC) + hashlib.sha256().digest_size
    payload = content[start:]
    if content[: len(MAGIC)] != MAGIC or content[len(MAGIC) : start] != hashlib.sha256(payload).digest():
        raise CheckpointDamaged(f"{path.name} is damaged")
    state: dict[str, Any] = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    return state


class CheckpointFolder:
    """The newest checkpoints of a run. The slower they are to write, the longer the interval between them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.written_at = time.monotonic()
        self.interval = SHORTEST_INTERVAL_SECONDS

    @property
    def is_due(self) -> bool:
        return time.monotonic() - self.written_at >= self.interval

    def write(self, step: int, state: dict[str, Any]) -> None:
        """Write the state of a step, and delete all but the newest two checkpoints."""
        began = time.monotonic()
        path = self.path(step)
        write_checkpoint(path, state)
        for old in self.newest_first()[KEPT_CHECKPOINTS:]:
            old.unlink()
        self.written_at = time.monotonic()
        self.interval = max(SHORTEST_INTERVAL_SECONDS, OVERHEAD_DIVISOR * (self.written_at - began))
        if path.stat().st_size <= SMALL_STATE_BYTES:
            self.interval = min(self.interval, LONGEST_SMALL_INTERVAL_SECONDS)

    def path(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}.ckpt"

    def newest_first(self) -> list[Path]:
        """Return the paths of all checkpoints, latest step first."""
        return sorted(self.folder.glob("step-*.ckpt"), reverse=True)

    def read_all(self) -> Iterator[tuple[int, dict[str, Any] | None]]:
        """Yield step and state of each checkpoint, newest first; the state is None if it is damaged."""
        for path in self.newest_first():
            found = re.fullmatch(r"step-(\d+)\.ckpt", path.name)
            if found is None:
                continue
            try:
                yield int(found[1]), read_checkpoint(path)
            except CheckpointDamaged:
                yield int(found[1]), None
