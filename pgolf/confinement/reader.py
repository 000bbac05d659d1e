"""The confinement of a process of pgolf's own that parses what strangers wrote, and runs none of it."""

import os
import resource
import sys
from collections.abc import Sequence
from pathlib import Path

from pgolf.confinement import kernel
from pgolf.confinement.guard import KERNEL_READS, SYSTEM_READS
from pgolf.confinement.landlock import landlock_version, restrict_files
from pgolf.confinement.seccomp import install_filter, seccomp_filter


def confine_reader(reads: Sequence[Path], *, memory_bytes: int, seconds: int) -> None:
    """Limit this process's memory and CPU time; let it read what is named and Python's modules, and change nothing.

    What the machine cannot confine stays as it is: the limits on memory and time are Linux's, the rest needs Landlock.
    """
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    if sys.platform != "linux":
        return
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    version = landlock_version()
    if not version or kernel.MACHINE not in kernel.AUDIT_ARCHITECTURES:
        return
    kernel.control_process(kernel.PR_SET_NO_NEW_PRIVS, 1)
    kernel.drop_capabilities()
    modules = [entry for entry in sys.path if entry]
    own = f"/proc/{os.getpid()}"
    restrict_files((*SYSTEM_READS, *KERNEL_READS, own, *modules, *map(str, reads)), (), version)
    install_filter(seccomp_filter(may_fork=False, own_pid=os.getpid(), landlock=version))
