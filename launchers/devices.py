"""The CUDA devices of this machine, each held by one run at a time, whichever command started it."""

import fcntl
import os
import subprocess
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from platformdirs import user_cache_path

from pgolf.errors import Busy


def cuda_devices() -> dict[str, str]:
    """Names of the CUDA devices that a child of ours may use, by index; CUDA_VISIBLE_DEVICES is respected."""
    query = ["nvidia-smi", "--query-gpu=index,uuid,name", "--format=csv,noheader"]
    try:
        listing = subprocess.run(query, capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return {}
    rows = [[part.strip() for part in line.split(",", 2)] for line in listing.splitlines() if line.count(",") >= 2]
    names = {index: name for index, _, name in rows}
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return names
    wanted = [word.strip() for word in visible.split(",")]
    # By number, or as schedulers write it by identifier, which may be cut short.
    chosen = [index for word in wanted for index, uuid, _ in rows if word and (word == index or uuid.startswith(word))]
    return {index: names[index] for index in chosen}


@dataclass(frozen=True, slots=True)
class HeldDevices:
    """Devices for one run. The locks are files: a child that inherits them holds them until it ends, anyhow."""

    indices: list[str]
    locks: ExitStack
    descriptors: list[int]

    def release(self) -> None:
        """Nothing; what no child has inherited is free."""
        self.locks.close()


def hold_devices(candidates: list[str], count: int) -> HeldDevices:
    """`count` of the candidates that no run of this user is on.

    Raises: Busy when there are not so many at this moment.
    """
    folder = user_cache_path("pgolf", ensure_exists=True) / "devices"
    folder.mkdir(exist_ok=True)
    locks, taken = ExitStack(), list[tuple[str, int]]()
    for index in candidates if count else []:
        with suppress(BlockingIOError):
            file = lock_file(folder / f"{index}.lock")
            locks.enter_context(file)
            taken.append((index, file.fileno()))
        if len(taken) == count:
            return HeldDevices([index for index, _ in taken], locks, [number for _, number in taken])
    locks.close()
    if count == 0:
        return HeldDevices([], locks, [])
    raise Busy(f"{count} CUDA devices are needed, {len(taken)} here have no run of yours")


def lock_file(path: Path) -> IO[bytes]:
    """A file that is locked.

    Raises: BlockingIOError when another process has it.
    """
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise
    return file
