"""The process between pgolf and a confined command: it sets the confinement up, watches, and ends everything.

It reads its orders (JSON) from stdin and reports on a pipe, one JSON object a line: `{"failed": reason}`, or
`{"confined": {...}}` once the command runs and `{"code": ..., "stopped": ...}` when it has ended. It begins within
bubblewrap's namespaces, makes its own, or has none; what the command itself gets is the same in each case.
"""

import json
import os
import resource
import select
import signal
import stat
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from pgolf.confinement import kernel
from pgolf.confinement.landlock import landlock_version, restrict_files
from pgolf.confinement.seccomp import install_filter, seccomp_filter

WATCH_SECONDS = 0.05
NAMESPACES = {
    "user": 0x10000000, "mount": 0x00020000, "pid": 0x20000000, "net": 0x40000000, "ipc": 0x08000000,
    "uts": 0x04000000, "cgroup": 0x02000000,
}  # fmt: skip
BIND, PRIVATE_AND_BELOW, NO_SET_ID_DEVICES_OR_PROGRAMS = 1 << 12, (1 << 18) | (1 << 14), 0b1110
MOST_OPEN_FILES, MOST_THREADS = 256, 1024
SYSTEM_WIDE_PROCESSES = 32_768
"""The limit where processes are not counted by namespace: a user's own count as well."""
ADDRESSES_PER_BYTE = 4
"""Address space for each byte of memory: torch maps files and reserves more than it fills."""
SYSTEM_READS = (
    "/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/nix/store", "/etc/ld.so.cache", "/etc/alternatives",
    "/etc/localtime", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom",
)  # fmt: skip
"""What programs need of a system, and nothing that tells about its users."""
KERNEL_READS = (
    "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/filesystems", "/proc/sys/vm", "/sys/devices/system",
)  # fmt: skip


class Stop(Exception):
    """The command exceeded a limit, or nobody waits for it any more."""


def main() -> None:
    """Run what stdin orders."""
    orders = json.load(sys.stdin)
    report = Report(orders["report_to"])
    with open(os.devnull) as nothing:  # noqa: PTH123
        os.dup2(nothing.fileno(), 0)
    try:
        if orders["namespaces"] != "none":
            die_with_parent()  # without them this process must live on until it has killed the command
        if orders["namespaces"] == "own":
            enter_namespaces(report, orders["writes"])
        Guard(orders, report).run()
    except Exception as error:
        report.send(failed=f"{type(error).__name__}: {error}")
        sys.exit(1)


def die_with_parent() -> None:
    """Have the kernel kill this process when the one that started it ends. Other systems than Linux cannot."""
    if sys.platform == "linux":
        kernel.control_process(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)


class Report:
    """The pipe on which pgolf listens."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        os.set_inheritable(descriptor, False)

    def send(self, **facts: Any) -> None:
        """Write one line."""
        with suppress(BrokenPipeError):
            os.write(self.descriptor, json.dumps(facts).encode() + b"\n")

    @property
    def is_heard(self) -> bool:
        """Return whether pgolf is still there."""
        poll = select.poll()
        poll.register(self.descriptor, 0)
        return not poll.poll(0)


def enter_namespaces(report: Report, writes: str) -> None:
    """Become the first process of new namespaces. The old process waits for the new one.

    They have a /proc of their own, and every file but those in `writes` is on a read-only mount.

    Raises:
        OSError: the kernel or a security module does not allow it.
    """
    user, group = os.getuid(), os.getgid()
    kernel.unshare(sum(NAMESPACES.values()))
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    first = os.fork()
    if first:
        os.close(report.descriptor)
        _, status = os.waitpid(first, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    die_with_parent()
    kernel.mount("none", "/", None, PRIVATE_AND_BELOW)
    kernel.mount(writes, writes, None, BIND)
    kernel.set_read_only("/", is_read_only=True)
    kernel.set_read_only(writes, is_read_only=False)
    kernel.mount("proc", "/proc", "proc", NO_SET_ID_DEVICES_OR_PROGRAMS)


class Guard:
    """Starts the command, watches it, and reports how it ended."""

    def __init__(self, orders: dict[str, Any], report: Report) -> None:
        self.orders, self.report, self.limits = orders, report, orders["limits"]
        self.is_confined, self.is_alone = orders["level"] != "none", orders["namespaces"] != "none"
        """Alone: in a pid namespace, which ends with this process."""
        # The kernel holds root to no number of processes, and a fork bomb is faster than any watch.
        is_counted = self.is_alone and os.getuid() != 0
        self.processes = self.limits["processes"] if is_counted or not self.is_confined else 1
        self.landlock = landlock_version() if self.is_confined else 0
        self.command = 0

    def run(self) -> None:
        """Run the command to its end.

        Raises:
            OSError: it could not be confined or started.
        """
        if self.orders["level"] == "landlock" and not self.landlock:
            raise OSError("the kernel has no Landlock")
        if self.is_confined:
            kernel.control_process(kernel.PR_SET_DUMPABLE, 0)
        failure, failed = os.pipe()
        self.command = os.fork()
        if self.command == 0:
            self.become_command(failed)
        os.close(failed)
        with open(failure, encoding="utf-8") as file:  # noqa: PTH123
            if reason := file.read():
                raise OSError(reason)
        self.report.send(confined=self.facts())
        os.close(1)
        os.close(2)
        stopped = None
        try:
            code = self.watch()
        except Stop as limit:
            code, stopped = -signal.SIGKILL, str(limit)
        self.report.send(code=code, stopped=stopped)

    def facts(self) -> dict[str, Any]:
        """Return what confines the command."""
        return {
            "landlock": self.landlock or None,
            "seccomp": self.is_confined,
            "namespaces": list(NAMESPACES) if self.is_alone else [],
            "processes": self.processes,
        }

    def become_command(self, failed: int) -> NoReturn:
        """Confine this process and turn it into the command, or write the reason why that failed and exit."""
        try:
            os.umask(0o077)
            os.chdir(self.orders["writes"])
            for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            with suppress(OSError):
                Path("/proc/self/oom_score_adj").write_text("1000")  # it goes first if memory is short
            die_with_parent()
            if self.is_confined:
                os.setsid()
                self.limit_resources()
                self.confine()
            command = self.orders["command"]
            os.execve(command[0], command, self.orders["environment"])
        except BaseException as error:
            os.write(failed, f"{type(error).__name__}: {error}".encode())
        os._exit(127)

    def limit_resources(self) -> None:
        """Set the limits that the kernel holds for each process."""
        memory, threads = self.limits["memory_bytes"], max(MOST_THREADS, self.processes)
        for kind, limit in (
            (resource.RLIMIT_DATA, memory),
            (resource.RLIMIT_AS, memory * ADDRESSES_PER_BYTE),
            (resource.RLIMIT_FSIZE, self.limits["answer_bytes"]),
            (resource.RLIMIT_CPU, int(self.limits["seconds"] * (os.cpu_count() or 1)) + 1),
            (resource.RLIMIT_NPROC, threads if self.is_alone else SYSTEM_WIDE_PROCESSES),
            (resource.RLIMIT_NOFILE, MOST_OPEN_FILES),
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_MSGQUEUE, 0),
            (resource.RLIMIT_NICE, 0),
            (resource.RLIMIT_RTPRIO, 0),
        ):
            _, most = resource.getrlimit(kind)
            limit = limit if most == resource.RLIM_INFINITY else min(limit, most)
            resource.setrlimit(kind, (limit, limit))

    def confine(self) -> None:
        """Give up, for ever, what the command does not need."""
        kernel.control_process(kernel.PR_SET_NO_NEW_PRIVS, 1)
        kernel.drop_capabilities()
        if self.landlock:
            proc = "/proc" if self.is_alone else f"/proc/{os.getpid()}"
            reads = (*SYSTEM_READS, *KERNEL_READS, proc, *self.orders["reads"])
            restrict_files(reads, (os.devnull, self.orders["writes"]), self.landlock)
        may_fork = self.processes > 1
        own_pid = None if may_fork else os.getpid()
        install_filter(seccomp_filter(may_fork=may_fork, own_pid=own_pid, landlock=self.landlock))

    def watch(self) -> int:
        """Return the exit code of the command.

        Raises:
            Stop: it was killed, because of a limit or because nobody waits for it any more.
        """
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == self.command:
                return os.waitstatus_to_exitcode(status)
            if pid:
                continue  # a process that the command left behind
            try:
                self.check_limits()
            except BaseException:  # the kernel does not: a thread that execs does not die with the parent
                os.kill(self.command, signal.SIGKILL)
                raise
            time.sleep(WATCH_SECONDS)

    def check_limits(self) -> None:
        """Raise Stop if a limit is exceeded that no kernel holds, or if nobody waits for the command any more."""
        if not self.report.is_heard:
            raise Stop("time")
        if not self.is_confined:
            return
        own = str(os.getpid())
        pids = [each for each in os.listdir("/proc") if each.isdigit() and each != own]  # noqa: PTH208
        pids = pids if self.is_alone else [str(self.command)]
        if len(pids) > self.processes:
            raise Stop("processes")
        threads = memory = written = 0
        for pid in pids:
            usage = Usage.of(pid)
            threads, memory, written = threads + usage.threads, memory + usage.memory, written + usage.written
        if threads > max(MOST_THREADS, self.processes):
            raise Stop("threads")
        if memory > self.limits["memory_bytes"]:
            raise Stop("memory")
        used, count = space_used(self.orders["writes"], self.limits["answer_files"])
        # Space that is written again and again, or held by files without a name, is not seen in the folder.
        if count > self.limits["answer_files"] or max(used, written // 4) > self.limits["answer_bytes"]:
            raise Stop("files")


class Usage:
    """What a process uses; nothing if it has ended."""

    def __init__(self, threads: int = 0, memory: int = 0, written: int = 0) -> None:
        self.threads, self.memory, self.written = threads, memory, written

    @classmethod
    def of(cls, pid: str) -> "Usage":
        """Return what the process with this number uses."""
        try:
            facts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        except (OSError, IndexError):
            return cls()
        written = 0
        with suppress(OSError):  # some kernels do not count it
            counts = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
            written = max(int(counts["wchar"]), int(counts["write_bytes"]))
        return cls(int(facts[17]), pages * resource.getpagesize(), written)


def space_used(folder: str, most: int) -> tuple[int, int]:
    """Return the bytes on disk and the number of the files below a folder; stop counting above `most` files."""
    used = count = 0
    folders = [folder]
    while folders and count <= most:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    count += 1
                    facts = entry.stat(follow_symlinks=False)
                    used += facts.st_blocks * 512
                    if stat.S_ISDIR(facts.st_mode):
                        folders.append(entry.path)
        except FileNotFoundError:
            continue
        except OSError:  # a folder that was made to be unreadable, or has too long a path
            return used, most + 1
    return used, count


if __name__ == "__main__":
    main()
