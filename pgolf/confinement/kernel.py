"""Calls to the Linux kernel that Python's standard library lacks."""

import ctypes
import os
import platform
from typing import Any

AUDIT_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""The machines whose system calls are known here, by the name that seccomp reports."""
MACHINE = platform.machine()

MOUNT_SETATTR, AT_RECURSIVE, MOUNT_READ_ONLY = 442, 0x8000, 1
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 1, 4, 38
CAPABILITY_VERSION = 0x20080522


def _library() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def system_call(number: int, *arguments: Any) -> int:
    """Make a system call.

    Raises:
        OSError: the kernel refuses it.
    """
    return _checked(_library().syscall(ctypes.c_long(number), *arguments))


def control_process(option: int, *arguments: int) -> int:
    """Call prctl.

    Raises:
        OSError: the kernel refuses it.
    """
    longs = [ctypes.c_ulong(each) for each in (*arguments, 0, 0, 0, 0)[:4]]
    return _checked(_library().prctl(option, *longs))


def unshare(flags: int) -> None:
    """Move this process into new namespaces.

    Raises:
        OSError: the kernel refuses it.
    """
    _checked(_library().unshare(flags))


def mount(source: str, target: str, kind: str | None, flags: int) -> None:
    """Mount a file system, or change how one is mounted.

    Raises:
        OSError: the kernel refuses it.
    """
    _checked(_library().mount(source.encode(), target.encode(), kind and kind.encode(), ctypes.c_ulong(flags), None))


def set_read_only(path: str, *, is_read_only: bool) -> None:
    """Make the mount at a path read-only, with all mounts below it, or writable again.

    Raises:
        OSError: the kernel is older than Linux 5.12, or refuses it.
    """
    attributes = (ctypes.c_uint64 * 4)(MOUNT_READ_ONLY * is_read_only, MOUNT_READ_ONLY * (not is_read_only), 0, 0)
    system_call(MOUNT_SETATTR, -1, path.encode(), AT_RECURSIVE, attributes, ctypes.c_size_t(32))


def drop_capabilities() -> None:
    """Give up all capabilities, which only root has. With no_new_privs, no program brings them back."""
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
    _checked(_library().capset(header, (ctypes.c_uint32 * 6)()))


def _checked(result: int) -> int:
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
