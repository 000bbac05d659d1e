"""Landlock: the files that a process may reach. No privilege is needed, and the process cannot undo it.

Source: https://docs.kernel.org/userspace-api/landlock.html
"""

import ctypes
import os
import stat
from collections.abc import Iterable

from pgolf.confinement.kernel import system_call

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
VERSION_QUESTION, PATH_BENEATH = 1, 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
REMOVE_DIR, REMOVE_FILE, MAKE_DIR, MAKE_REG = 1 << 4, 1 << 5, 1 << 7, 1 << 8
REFER, TRUNCATE = 1 << 13, 1 << 14
FILE_RIGHTS = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE
READS = EXECUTE | READ_FILE | READ_DIR
# No links, sockets, pipes or devices: whoever reads the folder afterwards finds files and folders only.
WRITES = READS | WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | REFER | TRUNCATE
NET_BIND_AND_CONNECT = 0b11
SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS = 0b11


def landlock_version() -> int:
    """Return the version of the kernel's Landlock; 0 if it has none."""
    try:
        return system_call(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(VERSION_QUESTION))
    except OSError:
        return 0


def handled_rights(version: int) -> int:
    """Return all rights on files that a version knows: what is handled and not granted is refused."""
    rights = {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)
    return (1 << rights) - 1


def restrict_files(reads: Iterable[str], writes: Iterable[str], version: int) -> None:
    """Confine this process for ever to reading and executing `reads` and changing `writes`. Skip what does not exist.

    From version 4 on TCP is refused, too, and from version 6 on abstract sockets and signals to processes outside.

    Raises:
        OSError: the kernel refuses it.
    """
    handled = handled_rights(version)
    attributes = (ctypes.c_uint64 * 3)(
        handled,
        NET_BIND_AND_CONNECT if version >= 4 else 0,
        SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS if version >= 6 else 0,
    )
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = system_call(CREATE_RULESET, attributes, ctypes.c_size_t(size), ctypes.c_uint32(0))
    try:
        for paths, rights in ((reads, READS), (writes, WRITES)):
            for path in paths:
                allow(ruleset, path, rights & handled)
        system_call(RESTRICT_SELF, ruleset, ctypes.c_uint32(0))
    finally:
        os.close(ruleset)


def allow(ruleset: int, path: str, rights: int) -> None:
    """Add a rule for a file, or for a folder with all that is in it."""
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            rights &= FILE_RIGHTS
        # struct landlock_path_beneath_attr is packed: 8 bytes of rights, 4 of the descriptor
        rule = rights.to_bytes(8, "little") + place.to_bytes(4, "little")
        system_call(ADD_RULE, ruleset, PATH_BENEATH, rule, ctypes.c_uint32(0))
    finally:
        os.close(place)
