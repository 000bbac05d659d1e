"""Seccomp: the system calls that a process may make. No privilege is needed, and the process cannot undo it.

The filter refuses what Landlock does not judge (sockets, modes, owners and attributes of files, signals, other
processes' memory, System V IPC, and what only its later versions judge), what has often been the way out of a
confinement (namespaces, mounts, io_uring, bpf, userfaultfd, keyrings), and every call that is newer than this table.
"""

import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pgolf.confinement.kernel import AUDIT_ARCHITECTURES, MACHINE, control_process

PR_SET_SECCOMP, FILTER_MODE = 22, 2
LOAD, JUMP_EQUAL, JUMP_GREATER, JUMP_ANY_BIT, AND, RETURN = 0x20, 0x15, 0x25, 0x45, 0x54, 0x06
ALLOW, ERRNO, KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000
NUMBER_AT, ARCHITECTURE_AT, ARGUMENTS_AT = 0, 4, 16

NEWEST_CALL = 451
"""cachestat, of Linux 6.5. What came later, and the calls of x32, are said not to exist: programs then do without."""
TRUNCATION_IS_JUDGED = 3
"""The version of Landlock from which on emptying a file needs a right of its own; opening it to read was enough."""
CLONE_THREAD = 0x10000
CLONE_NAMESPACES = 0x7E020000

# Numbers on x86_64 and aarch64; None: there is no such call.
Numbers = tuple[int | None, int | None]
REFUSED: dict[str, Numbers] = {
    # other processes, and their memory
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "process_madvise": (440, 440), "process_mrelease": (448, 448), "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424), "tkill": (200, 130), "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240), "migrate_pages": (256, 238), "move_pages": (279, 239),
    # the kernel's less used sides
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "keyctl": (250, 219),
    "add_key": (248, 217), "request_key": (249, 218), "io_uring_setup": (425, 425), "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427), "personality": (135, 92), "modify_ldt": (154, None), "syslog": (103, 116),
    "lookup_dcookie": (212, 18), "uselib": (134, None), "ustat": (136, None), "nfsservctl": (180, 42),
    "remap_file_pages": (216, 234), "memfd_create": (319, 279), "memfd_secret": (447, 447),
    # the machine
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "reboot": (169, 142), "init_module": (175, 105),
    "finit_module": (313, 273), "delete_module": (176, 106), "swapon": (167, 224), "swapoff": (168, 225),
    "acct": (163, 89), "quotactl": (179, 60), "quotactl_fd": (443, 443), "settimeofday": (164, 170),
    "clock_settime": (227, 112), "clock_adjtime": (305, 266), "adjtimex": (159, 171), "sethostname": (170, 161),
    "setdomainname": (171, 162), "iopl": (172, None), "ioperm": (173, None), "vhangup": (153, 58),
    # mounts and namespaces
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "move_mount": (429, 429),
    "open_tree": (428, 428), "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432),
    "fspick": (433, 433), "mount_setattr": (442, 442), "unshare": (272, 97), "setns": (308, 268),
    # files that are reached without being opened, or are watched
    "truncate": (76, 45), "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "chown": (92, None),
    "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54), "utime": (132, None), "utimes": (235, None),
    "futimesat": (261, None), "utimensat": (280, 88), "setxattr": (188, 5), "lsetxattr": (189, 6),
    "fsetxattr": (190, 7), "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
    "getxattr": (191, 8), "lgetxattr": (192, 9), "fgetxattr": (193, 10), "listxattr": (194, 11),
    "llistxattr": (195, 12), "flistxattr": (196, 13),
    "open_by_handle_at": (304, 265), "name_to_handle_at": (303, 264), "fanotify_init": (300, 262),
    "fanotify_mark": (301, 263), "inotify_init": (253, None), "inotify_init1": (294, 26),
    "inotify_add_watch": (254, 27),
    # System V IPC and message queues
    "shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195), "semget": (64, 190), "semop": (65, 193),
    "semctl": (66, 191), "semtimedop": (220, 192), "msgget": (68, 186), "msgsnd": (69, 189), "msgrcv": (70, 188),
    "msgctl": (71, 187), "mq_open": (240, 180), "mq_unlink": (241, 181),
    # the network
    "socketpair": (53, 199),
}  # fmt: skip
NEW_PROCESS: dict[str, Numbers] = {"fork": (57, None), "vfork": (58, None)}
SIGNALS: dict[str, Numbers] = {"kill": (62, 129), "tgkill": (234, 131)}
SOCKET: Numbers = (41, 198)
CLONE: Numbers = (56, 220)
CLONE3: Numbers = (435, 435)
OPEN: dict[str, tuple[Numbers, int]] = {"open": ((2, None), 1), "openat": ((257, 56), 2)}
"""Calls with the position of their flags. openat2 has them in memory, where a filter cannot see them."""
OPENAT2: Numbers = (437, 437)
OF_THE_CALLER: dict[str, tuple[Numbers, dict[int, int]]] = {
    "prlimit64": ((302, 261), {0: 0}), "sched_setaffinity": ((203, 122), {0: 0}),
    "sched_setscheduler": ((144, 119), {0: 0}), "sched_setparam": ((142, 118), {0: 0}),
    "sched_setattr": ((314, 274), {0: 0}), "setpriority": ((141, 140), {0: 0, 1: 0}),
    "ioprio_set": ((251, 30), {0: 1, 1: 0}),
}  # fmt: skip
"""Calls with the positions and values of the arguments that mean the calling process: no other, no group, no user."""
REFUSED_OPTIONS: dict[str, tuple[Numbers, int, tuple[int, ...]]] = {
    "prctl": ((157, 167), 0, (1,)),  # PR_SET_PDEATHSIG
    "fcntl": ((72, 25), 1, (8, 10, 15, 1026)),  # F_SETOWN, F_SETSIG, F_SETOWN_EX, F_NOTIFY: signals to others
    "ioctl": ((16, 29), 1, (0x5412, 0x541C, 0x8901, 0x8902)),  # TIOCSTI, TIOCLINUX, FIOSETOWN, SIOCSPGRP
}
"""Calls with the position of an argument and the values of it that are refused."""


@dataclass(frozen=True, slots=True)
class Test:
    """Refuse a call by one of its arguments, of which the lower 32 bits are compared."""

    number: int
    argument: int
    refused_if: Literal["any_bit", "no_bit", "equal", "unequal"]
    value: int
    mask: int = 0xFFFFFFFF
    """The bits that are compared."""


def seccomp_filter(*, may_fork: bool, own_pid: int | None, landlock: int, machine: str = MACHINE) -> bytes:
    """Return the program of the filter for a machine, which completes a version of Landlock (0: none).

    Without `may_fork` the process can have threads only. It can send signals only to itself if `own_pid` is given.

    Raises:
        KeyError: the numbers of the machine's system calls are not known.
    """
    architecture = AUDIT_ARCHITECTURES[machine]
    column = list(AUDIT_ARCHITECTURES).index(machine)
    refused = {number: errno.EPERM for numbers in REFUSED.values() if (number := numbers[column]) is not None}
    if not may_fork:
        refused |= {number: errno.EPERM for numbers in NEW_PROCESS.values() if (number := numbers[column]) is not None}
    codes = ((SOCKET, errno.ENETUNREACH), (CLONE3, errno.ENOSYS), (OPENAT2, errno.ENOSYS))
    refused |= {number: code for numbers, code in codes if (number := numbers[column]) is not None}
    program = [
        instruction(LOAD, ARCHITECTURE_AT),
        instruction(JUMP_EQUAL, architecture, 1, 0),
        instruction(RETURN, KILL_PROCESS),
        instruction(LOAD, NUMBER_AT),
        instruction(JUMP_GREATER, NEWEST_CALL, 0, 1),
        instruction(RETURN, ERRNO | errno.ENOSYS),
    ]
    for number, code in refused.items():
        program += [instruction(JUMP_EQUAL, number, 0, 1), instruction(RETURN, ERRNO | code)]
    for test in argument_tests(column, may_fork=may_fork, own_pid=own_pid, landlock=landlock):
        program += refusal(test)
    return b"".join([*program, instruction(RETURN, ALLOW)])


def argument_tests(column: int, *, may_fork: bool, own_pid: int | None, landlock: int) -> list[Test]:
    """Return the tests of arguments; every call that does not fail one is allowed."""
    clone = CLONE[column]
    assert clone is not None
    tests = [Test(clone, 0, "any_bit", CLONE_NAMESPACES)]
    if not may_fork:
        tests.append(Test(clone, 0, "no_bit", CLONE_THREAD))
    if own_pid is not None:
        tests += [Test(number, 0, "unequal", own_pid) for of in SIGNALS.values() if (number := of[column]) is not None]
    for numbers, arguments in OF_THE_CALLER.values():
        if (number := numbers[column]) is not None:
            tests += [Test(number, argument, "unequal", value) for argument, value in arguments.items()]
    for numbers, argument, values in REFUSED_OPTIONS.values():
        if (number := numbers[column]) is not None:
            tests += [Test(number, argument, "equal", value) for value in values]
    for numbers, argument in OPEN.values():
        if (number := numbers[column]) is not None:
            tests += [Test(number, argument, "equal", flags, mask) for flags, mask in refused_flags(landlock)]
    return tests


def refused_flags(landlock: int) -> Iterator[tuple[int, int]]:
    """Yield the flags of open that a version of Landlock does not judge, each with the mask to compare under."""
    yield os.O_ACCMODE, os.O_ACCMODE  # neither reads nor writes: only what ioctl does with a device
    if landlock < TRUNCATION_IS_JUDGED:
        yield os.O_RDONLY | os.O_TRUNC, os.O_ACCMODE | os.O_TRUNC


def refusal(test: Test) -> list[bytes]:
    """Return the instructions of one test. They begin and end with the call's number loaded."""
    jump = JUMP_ANY_BIT if test.refused_if in ("any_bit", "no_bit") else JUMP_EQUAL
    if_true, if_false = (0, 1) if test.refused_if in ("any_bit", "equal") else (1, 0)
    return [
        instruction(JUMP_EQUAL, test.number, 0, 5),
        instruction(LOAD, ARGUMENTS_AT + 8 * test.argument),
        instruction(AND, test.mask),
        instruction(jump, test.value, if_true, if_false),
        instruction(RETURN, ERRNO | errno.EPERM),
        instruction(LOAD, NUMBER_AT),
    ]


def instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """Return one instruction of a classic BPF program."""
    return struct.pack("=HBBI", code, if_true, if_false, value)


def install_filter(program: bytes) -> None:
    """Install a filter in this process, which must have no_new_privs.

    Raises:
        OSError: the kernel has no seccomp filters.
    """

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))

    of_kernel = Program(len(program) // 8, program)
    control_process(PR_SET_SECCOMP, FILTER_MODE, ctypes.addressof(of_kernel))
