"""Locks between processes: flock, or a folder that names its owner where a file system has no flock.

The folder is the fallback because of one property of rename, which network file systems have too: a folder can be
renamed onto an empty or a missing one only. A process therefore names itself in a folder of its own and renames that
into place: at most one succeeds, and its name is there from the first moment. Only the names of dead processes are
removed, which never belong to the next owner, so taking over a dead process's lock is safe as well.
"""

import errno
import fcntl
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

from trainer.recipe.processes import is_process_alive, pid_namespace, process_start

POLL_LOCK_SECONDS = 0.02
# An owner that cannot be seen from here, on another machine or in another container, shows that it lives by touching
# its name, and counts as dead when it has not done so for the longer time.
TOUCH_SECONDS, SILENT_OWNER_SECONDS = 5.0, 60.0
# How often a deleted file or the names of dead owners are passed over before another way is taken.
TAKEOVERS = 50
Taken = TypeVar("Taken")


class LockHeld(BlockingIOError):
    """Another process holds the lock."""

    def __init__(self, holder: str, path: Path) -> None:
        super().__init__(errno.EAGAIN, f"{holder} holds the lock", str(path))


@dataclass(frozen=True, slots=True)
class LockOwner:
    """A process, by a name that no other process has, on this machine or another."""

    pid: int
    start: str | None
    namespace: str
    """Where the pid is valid: the machine's boot and the container."""
    host: str

    @property
    def file_name(self) -> str:
        return f"{self.pid}.{self.start or '-'}.{self.namespace}.{self.host}"

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"

    @property
    def is_here(self) -> bool:
        """Return whether this process can see that one."""
        return self.namespace == pid_namespace()


class HeldLock:
    """A lock that this process holds until it releases it or ends."""

    def __init__(self, file: IO[bytes] | None, owner: Path | None = None, reason: str = "") -> None:
        self.file = file
        """The file that is locked; None where the file system has no flock."""
        self.owner = owner
        """The name of this process in the folder that replaces flock."""
        self.reason = reason
        self.released = threading.Event()
        if owner is not None:
            keep_touching(owner, self.released)

    @property
    def note(self) -> str | None:
        """What people should know about the lock: None, unless flock does not work here."""
        if self.owner is None:
            return None
        folder = self.owner.parent
        return (
            f"the file system of {folder.parent} has no flock ({self.reason}); the folder {folder.name}, which names "
            "the process that holds the lock, is used instead. Work in this folder from one machine only"
        )

    def hand_over(self, pid: int) -> None:
        """Give the lock to a child process. With flock, a child that inherits the descriptor has it anyway.

        Without flock, this process goes on touching the child's name, also after `release`.
        """
        if self.owner is not None:
            self.released.set()
            keep_touching(self.owner.rename(self.owner.with_name(lock_owner(pid).file_name)), threading.Event())
            self.owner = None

    def release(self) -> None:
        """Release the lock. With flock, a child process that has inherited the descriptor keeps it."""
        self.released.set()
        if self.file is not None:
            self.file.close()
        if self.owner is not None:
            clear_owner(self.owner)


def keep_touching(name: Path, ended: threading.Event) -> None:
    """Show processes elsewhere that the owner of this name lives, until that is dead, gone or `ended`."""

    def touch() -> None:
        while not ended.wait(TOUCH_SECONDS) and is_owner_alive(name.name, name):
            try:
                os.utime(name)
            except FileNotFoundError:
                return
            except OSError:  # the network is away for a moment
                continue

    threading.Thread(target=touch, daemon=True).start()


def take_lock(path: Path) -> HeldLock:
    """Lock a file, and return the lock.

    Raises:
        LockHeld: another process holds it.
        OSError: the file cannot be opened.
    """
    for _ in range(TAKEOVERS):
        file = path.open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise LockHeld("another process", path) from None
        except OSError as error:
            file.close()
            return HeldLock(None, take_folder(owner_folder(path)), error.strerror or str(error))
        if is_at(file, path):
            break
        file.close()  # its owner deleted it after it was opened here
    else:
        return HeldLock(None, take_folder(owner_folder(path)), "an open file differs from the one at its path")
    # The owner may be on another machine, where the same file system has no flock.
    if (owner := living_owner(owner_folder(path))) is not None:
        file.close()
        raise LockHeld(str(owner), path)
    return HeldLock(file)


def is_at(file: IO[bytes], path: Path) -> bool:
    """Return whether an open file is the one at a path."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:
        return False


@contextmanager
def hold_lock(path: Path, on_note: Callable[[str], object], patience: float = 0.0) -> Iterator[None]:
    """Yield while this process holds the lock of a file, after waiting for it for up to `patience` seconds.

    `on_note` gets a sentence for people where the file system has no flock.

    Raises:
        LockHeld: another process holds it.
        OSError: the file cannot be opened.
    """
    lock = take_patiently(lambda: take_lock(path), patience)
    try:
        if lock.note is not None:
            on_note(lock.note)
        yield
    finally:
        lock.release()


@contextmanager
def hold_folder(folder: Path, patience: float) -> Iterator[None]:
    """Yield while this process holds the lock that a folder is; the folder exists only while it is held.

    Raises:
        LockHeld: another process holds it.
        OSError: it cannot be written.
    """
    owner = take_patiently(lambda: take_folder(folder), patience)
    try:
        yield
    finally:
        clear_owner(owner)


def take_patiently(take: Callable[[], Taken], patience: float) -> Taken:
    """Return what `take` returns, after waiting for up to `patience` seconds for the one who holds the lock."""
    deadline = time.monotonic() + patience
    while True:
        try:
            return take()
        except LockHeld:
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL_LOCK_SECONDS)


def is_locked(path: Path) -> bool:
    """Return whether a living process holds the lock of a file. Asking does not disturb it."""
    with suppress(OSError):  # no such file, or no flock
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a FIFO in its place would block
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
    return living_owner(owner_folder(path)) is not None


def owner_folder(path: Path) -> Path:
    """Return the folder that replaces flock on a file."""
    return path.with_name(f"{path.name}.owner")


def take_folder(folder: Path) -> Path:
    """Put a folder with the name of this process into place, and return the path of the name.

    Raises:
        LockHeld: the folder there has the name of a living process.
        OSError: it cannot be written.
    """
    own = lock_owner(os.getpid()).file_name
    prefix = f".{folder.name}."
    draft = folder.with_name(prefix + own)
    for leftover in folder.parent.glob(f"{prefix}*"):  # of a process that was killed here
        if not is_owner_alive(leftover.name.removeprefix(prefix), leftover):
            shutil.rmtree(leftover, ignore_errors=True)
    draft.mkdir(exist_ok=True)
    try:
        (draft / own).touch()
        for _ in range(TAKEOVERS):
            try:
                return draft.rename(folder) / own
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) and not folder.exists():
                    raise
            if (owner := living_owner(folder)) is not None:
                raise LockHeld(str(owner), folder)
            for path in list_owners(folder):
                if not is_owner_alive(path.name, path):
                    clear_owner(path)
        raise LockHeld("a dead process, whose name cannot be removed,", folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def living_owner(folder: Path) -> LockOwner | None:
    """Return the living process that a folder names, or None."""
    return next((read_owner(path.name) for path in list_owners(folder) if is_owner_alive(path.name, path)), None)


def list_owners(folder: Path) -> list[Path]:
    """Return the names in a folder; none if there is no folder."""
    try:
        return [*folder.iterdir()]
    except OSError:
        return []


def clear_owner(path: Path) -> None:
    """Remove a name, and the folder if that was the last one."""
    with suppress(OSError):
        path.unlink()
        path.parent.rmdir()


def lock_owner(pid: int) -> LockOwner:
    """Return a process of this machine as the owner of a lock."""
    return LockOwner(pid, process_start(pid), pid_namespace(), os.uname().nodename)


def read_owner(name: str) -> LockOwner | None:
    """Return the process that a file name stands for; None if it stands for none."""
    pid, start, namespace, host, *_ = [*name.split(".", 3), "", "", ""]
    if not (pid.isdecimal() and start and namespace and host):
        return None
    return LockOwner(int(pid), None if start == "-" else start, namespace, host)


def is_owner_alive(name: str, path: Path) -> bool:
    """Return whether the process lives that the name of `path` stands for.

    A process that cannot be seen from here lives if it touches the path.
    """
    owner = read_owner(name)
    if owner is None:
        return False
    if owner.is_here:
        return is_process_alive(owner.pid, owner.start)
    try:
        return abs(time.time() - path.stat().st_mtime) < SILENT_OWNER_SECONDS
    except OSError:
        return False
