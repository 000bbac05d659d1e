"""Progress of downloads, and the room that they need."""

import shutil
from pathlib import Path
from typing import Any, Protocol

from pgolf.errors import MachineError

# Leaves room for the manifest, logs and the first checkpoints of a run.
MARGIN_BYTES = 1 << 28


class FetchDisplay(Protocol):
    """Receives the progress of a fetch."""

    def say(self, line: str) -> None: ...
    def expect(self, total_bytes: int) -> None: ...
    def start(self, name: str) -> None: ...
    def advance(self, count: int) -> None:
        """Count bytes of the started file, which may arrive more than once."""

    def finish(self, name: str, size: int) -> None:
        """Count the file as complete, however many bytes arrived."""


class SilentBar:
    """What huggingface_hub asks of a progress bar of tqdm; it draws nothing."""

    def __init__(self, **_: Any) -> None: ...
    def __enter__(self) -> "SilentBar":
        return self

    def __exit__(self, *_: object) -> None: ...
    def update(self, count: int) -> None: ...

    # Xet reports received bytes beside written ones, and the speed of both.
    def update_transfer(self, count: int) -> None: ...
    def set_postfix_str(self, text: str, refresh: bool = True) -> None: ...
    def set_transfer_postfix_str(self, text: str, refresh: bool = True) -> None: ...


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
