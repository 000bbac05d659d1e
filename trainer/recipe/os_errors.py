"""Errors of the operating system in words: where, what happened, and what to do."""

import errno
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

AGAIN = "then run the same command again"
WHAT_TO_DO = {
    errno.ENOSPC: f"Free some space on this disk, {AGAIN}",
    errno.EDQUOT: f"Free some space or ask for a larger disk quota, {AGAIN}",
    errno.EROFS: "Use a folder on a file system that can be written",
    errno.EACCES: "Use a folder that you may write to, or change its permissions",
    errno.EPERM: "Use a folder that you may write to, or change its permissions",
    errno.EFBIG: f"Raise the limit of file sizes (`ulimit -f`), or use another file system, {AGAIN}",
    errno.ENAMETOOLONG: "Use a shorter path",
    errno.EMFILE: f"Raise the limit of open files (`ulimit -n 4096`), {AGAIN}",
    errno.ENFILE: f"The limit of open files is that of the whole machine. Close other programs, {AGAIN}",
}


def describe_os_error(error: OSError, place: Path | str = "") -> str:
    """Return an error with its place, its reason and what to do; `place` is used if the error names no file."""
    place = error.filename or place
    reason = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) and place:
        room = room_left(Path(os.fsdecode(place))) if error.errno == errno.ENOSPC else ()
        reason = ", ".join([reason, *getattr(error, "__notes__", ()), *room])
    said = f"{os.fsdecode(place)}: {reason}" if place else reason
    advice = WHAT_TO_DO.get(error.errno or 0)
    return f"{said}. {advice}" if advice else said


def room_left(path: Path) -> Iterator[str]:
    """Yield how much room is left on the disk of a file, and whether another file can be added to it."""
    folders = [] if path.is_char_device() else path.absolute().parents  # /dev/full
    for folder in folders:
        with suppress(OSError):
            disk = os.statvfs(folder)
            yield f"{disk.f_bavail * disk.f_frsize:,} bytes are free"
            if disk.f_files and not disk.f_favail:
                yield "and the disk has no inode for another file"
            return
