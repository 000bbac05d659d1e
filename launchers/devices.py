"""The CUDA devices of this machine. A file lock per device keeps two runs of one user off the same one."""

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
    """Return the names of the CUDA devices by index, of those only that CUDA_VISIBLE_DEVICES allows."""
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
    # By index, or by UUID as schedulers write it; a UUID may be abbreviated.
    chosen = [index for word in wanted for index, uuid, _ in rows if word and (word == index or uuid.startswith(word))]
    return {index: names[index] for index in chosen}


@dataclass(frozen=True, slots=True)
class HeldDevices:
    """Devices locked for one run. A child process that inherits the descriptors keeps the locks until it ends."""

    indices: list[str]
    locks: ExitStack
    descriptors: list[int]

    def release(self) -> None:
        """Unlock the devices, except those that a child process has inherited."""
        self.locks.close()


def hold_devices(candidates: list[str], count: int) -> HeldDevices:
    """Lock `count` of the candidates that no other run of this user holds.

    Raises:
        Busy: fewer are free.
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
    raise Busy(f"{count} CUDA devices are needed, {len(taken)} are free")


def lock_file(path: Path) -> IO[bytes]:
    """Open and lock a file.

    Raises:
        BlockingIOError: another process holds the lock.
    """
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise
    return file
