"""The CUDA devices of this machine. A file lock per device keeps two runs of one user off the same one."""

import os
import subprocess
from contextlib import suppress
from dataclasses import dataclass

from platformdirs import user_cache_path

from pgolf.errors import Busy
from trainer.recipe.locks import HeldLock, LockHeld, take_lock


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

    locks: dict[str, HeldLock]

    @property
    def indices(self) -> list[str]:
        return [*self.locks]

    @property
    def descriptors(self) -> list[int]:
        """The locked files, of a file system that has flock."""
        return [lock.file.fileno() for lock in self.locks.values() if lock.file is not None]

    def hand_over(self, pid: int) -> None:
        """Give the devices to a child process that has inherited the descriptors."""
        for lock in self.locks.values():
            lock.hand_over(pid)

    def release(self) -> None:
        """Unlock the devices, except those that were handed over."""
        for lock in self.locks.values():
            lock.release()


def hold_devices(candidates: list[str], count: int) -> HeldDevices:
    """Lock `count` of the candidates that no other run of this user holds.

    Raises:
        Busy: fewer are free.
    """
    folder = user_cache_path("pgolf", ensure_exists=True) / "devices"
    folder.mkdir(exist_ok=True)
    held = HeldDevices({})
    for index in candidates:
        if len(held.locks) == count:
            break
        with suppress(LockHeld):
            held.locks[index] = take_lock(folder / f"{index}.lock")
    if len(held.locks) < count:
        held.release()
        raise Busy(f"{count} CUDA devices are needed, {len(held.locks)} are free")
    return held
