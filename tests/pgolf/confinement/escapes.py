"""Runs in a confinement, `escapes.py FACTS`, and prints as JSON what it could do that it may not.

It needs the standard library only.
"""

import _socket
import contextlib
import ctypes
import json
import mmap
import os
import pwd
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

FACTS = json.loads(sys.argv[1])
"""What the test has prepared outside: a port, sockets, a secret file, and the number of its process."""
LIBRARY = ctypes.CDLL(None, use_errno=True)
ATTEMPTS: dict[str, Callable[[], Any]] = {}


def attempt(function: Callable[[], Any]) -> Callable[[], Any]:
    ATTEMPTS[function.__name__] = function
    return function


def call(number: int, *arguments: Any) -> int:
    if (found := LIBRARY.syscall(ctypes.c_long(number), *arguments)) == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(found)


@attempt
def find_an_open_descriptor() -> Any:
    found = []
    for number in range(3, 1_000):
        with contextlib.suppress(OSError):
            os.fstat(number)
            found.append(number)
    return found or None


@attempt
def see_the_environment() -> Any:
    return {name: value for name, value in os.environ.items() if "SECRET" in name + value} or None


@attempt
def see_the_environment_of_a_process() -> Any:
    for pid in (os.getppid(), 1, FACTS["pid"]):
        with contextlib.suppress(OSError):
            if found := Path(f"/proc/{pid}/environ").read_bytes():
                return found[:40].decode(errors="replace")
    return None


@attempt
def see_processes_outside() -> Any:
    names = [name for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208
    return names if len(names) > 4 else None


@attempt
def find_the_home_folder() -> Any:
    return pwd.getpwuid(os.getuid()).pw_dir


@attempt
def read_a_secret() -> Any:
    return Path(FACTS["secret"]).read_text()


@attempt
def read_a_secret_through_a_link() -> Any:
    Path("link").symlink_to(FACTS["secret"])
    return Path("link").read_text()


@attempt
def read_a_secret_through_the_root_of_a_process() -> Any:
    return Path(f"/proc/1/root{FACTS['secret']}").read_text()


@attempt
def make_a_hard_link() -> Any:
    os.link(FACTS["secret"], "hard")
    return "made"


@attempt
def list_the_folder_of_the_secret() -> Any:
    return [path.name for path in Path(FACTS["secret"]).parent.iterdir()]


@attempt
def write_outside() -> Any:
    return Path(FACTS["outside"]).write_text("x")


@attempt
def write_into_tmp() -> Any:
    return Path("/tmp/escaped-from-confinement").write_text("x")


@attempt
def truncate_outside() -> Any:
    os.truncate(FACTS["secret"], 0)
    return "truncated"


@attempt
def empty_files_by_opening_them() -> Any:
    """Without the right to write: to read, with neither right, and by flags that a filter cannot see."""
    how = (ctypes.c_uint64 * 3)(os.O_ACCMODE, 0, 0)
    openings: dict[str, Callable[[], Any]] = {
        "to read": lambda: os.open(__file__, os.O_RDONLY | os.O_TRUNC),
        "with neither right": lambda: os.open(FACTS["secret"], os.O_ACCMODE),
        "openat2": lambda: call(437, -100, FACTS["secret"].encode(), how, ctypes.c_size_t(24)),
    }
    opened = []
    for name, opening in openings.items():
        with contextlib.suppress(OSError):
            opening()
            opened.append(name)
    return opened or None


@attempt
def read_attributes_outside() -> Any:
    """By path, of a link, and by a descriptor."""
    code = os.open(__file__, os.O_RDONLY)
    readings: dict[str, Callable[[], Any]] = {
        "list": lambda: os.listxattr(FACTS["secret"]),
        "list of a link": lambda: os.listxattr(FACTS["secret"], follow_symlinks=False),
        "list of a descriptor": lambda: os.listxattr(code),
        "value": lambda: os.getxattr(FACTS["secret"], "user.note"),
        "value of a link": lambda: os.getxattr(FACTS["secret"], "user.note", follow_symlinks=False),
        "value of a descriptor": lambda: os.getxattr(code, "user.note"),
    }
    read = []
    for name, reading in readings.items():
        with contextlib.suppress(OSError):
            reading()
            read.append(name)
    return read or None


@attempt
def change_a_mode_outside() -> Any:
    Path(FACTS["secret"]).chmod(0o777)
    return "changed"


@attempt
def change_a_time_outside() -> Any:
    os.utime(FACTS["secret"], (0, 0))
    return "changed"


@attempt
def change_the_mode_of_the_answer_folder() -> Any:
    Path().chmod(0o777)
    return "changed"


@attempt
def rename_the_answer_folder() -> Any:
    Path.cwd().rename(Path.cwd().with_name("other"))
    return "renamed"


@attempt
def change_the_code_of_pgolf() -> Any:
    found = []
    for path in FACTS["code"]:
        with contextlib.suppress(OSError), open(path, "a") as file:  # noqa: PTH123
            found.append(file.name)
    return found or None


@attempt
def connect() -> Any:
    return socket.create_connection(("127.0.0.1", FACTS["port"]), 2).send(b"x")


@attempt
def connect_below_the_patched_class() -> Any:
    plain = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    plain.connect(("127.0.0.1", FACTS["port"]))
    return "connected"


@attempt
def send_a_datagram() -> Any:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        return sender.sendmsg([b"x"], [], 0, ("127.0.0.1", FACTS["port"]))


@attempt
def open_sockets_of_other_families() -> Any:
    made = []
    for family in (socket.AF_INET6, socket.AF_NETLINK, socket.AF_PACKET, 40, 38):  # vsock, and the kernel's ciphers
        with contextlib.suppress(OSError):
            socket.socket(family, socket.SOCK_RAW if family in (16, 17) else socket.SOCK_STREAM)
            made.append(family)
    return made or None


@attempt
def use_a_socket_with_a_name() -> Any:
    with socket.socket(socket.AF_UNIX) as plain:
        plain.connect(FACTS["socket"])
    return "connected"


@attempt
def use_an_abstract_socket() -> Any:
    with socket.socket(socket.AF_UNIX) as plain:
        plain.connect("\0" + FACTS["abstract"])
    return "connected"


@attempt
def send_from_a_pair_to_a_name() -> Any:
    one, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    return one.sendto(b"x", FACTS["socket"])


@attempt
def connect_from_a_child() -> Any:
    code = f"import socket; socket.create_connection(('127.0.0.1', {FACTS['port']}), 2); print('connected')"
    ended = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False)
    return ended.stdout or None


@attempt
def signal_the_parent() -> Any:
    for pid in (FACTS["pid"], FACTS["guard"] or FACTS["pid"]):
        os.kill(pid, 0)
    return "signalled"


@attempt
def kill_the_guard() -> Any:
    if os.getppid() != 1:
        os.kill(os.getppid(), signal.SIGKILL)
        return "killed"
    os.kill(1, signal.SIGKILL)  # the kernel ignores it; it is seen by whoever is still here
    time.sleep(0.05)
    return None


@attempt
def change_the_limits_of_the_parent() -> Any:
    return resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE)


@attempt
def move_the_parent_to_one_core() -> Any:
    os.sched_setaffinity(os.getppid(), {0})
    return "moved"


@attempt
def slow_down_all_processes_of_the_user() -> Any:
    """By their own niceness and input/output class, which does no harm if it works."""
    group_of_input, user_of_input, best_effort = 2, 3, 2 << 13 | 4
    ioprio_set = 251 if os.uname().machine == "x86_64" else 30
    settings: dict[str, Callable[[], Any]] = {
        "user": lambda: os.setpriority(os.PRIO_USER, 0, os.getpriority(os.PRIO_PROCESS, 0)),
        "group": lambda: os.setpriority(os.PRIO_PGRP, 0, os.getpriority(os.PRIO_PROCESS, 0)),
        "input of the user": lambda: call(ioprio_set, user_of_input, 0, best_effort),
        "input of the group": lambda: call(ioprio_set, group_of_input, 0, best_effort),
    }
    done = []
    for name, setting in settings.items():
        with contextlib.suppress(OSError):
            setting()
            done.append(name)
    return done or None


@attempt
def be_signalled_from_a_pipe_for_another_process() -> Any:
    import fcntl

    reader, _ = os.pipe()
    fcntl.fcntl(reader, fcntl.F_SETOWN, os.getppid())
    return "set"


@attempt
def outlive_the_parent() -> Any:
    if LIBRARY.prctl(1, 0, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "refused")
    return "set"


@attempt
def write_the_memory_of_the_parent() -> Any:
    for pid in (os.getppid(), FACTS["pid"]):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/mem", "r+b"):  # noqa: PTH123
            return pid
    return None


@attempt
def read_devices() -> Any:
    found = []
    for path in ("/dev/mem", "/dev/kmem", "/dev/vda", "/dev/sda", "/dev/kmsg", "/dev/tty", "/dev/fuse", "/dev/kvm"):
        with contextlib.suppress(OSError):
            os.close(os.open(path, os.O_RDWR))
            found.append(path)
    return found or None


@attempt
def read_stdin() -> Any:
    return sys.stdin.read() or (None if Path("/proc/self/fd/0").samefile(os.devnull) else "not /dev/null")


@attempt
def have_a_terminal_or_the_parents_session() -> Any:
    return None if os.getsid(0) == os.getpid() else os.getsid(0)


@attempt
def have_capabilities() -> Any:
    lines = Path("/proc/self/status").read_text().splitlines()
    sets = {line.split()[0]: int(line.split()[1], 16) for line in lines if line.startswith(("CapPrm", "CapEff"))}
    return sets if any(sets.values()) else None


@attempt
def have_no_limits() -> Any:
    kinds = ("AS", "DATA", "NPROC", "CPU", "FSIZE", "NOFILE", "CORE")
    limits = {kind: resource.getrlimit(getattr(resource, f"RLIMIT_{kind}"))[1] for kind in kinds}
    return [kind for kind, limit in limits.items() if limit == resource.RLIM_INFINITY] or None


@attempt
def write_a_huge_sparse_file() -> Any:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with open("sparse", "wb") as file:  # noqa: PTH123
        file.truncate(1 << 40)
    return "written"


@attempt
def make_special_files() -> Any:
    makers: dict[str, Callable[[], Any]] = {
        "fifo": lambda: os.mkfifo("fifo"),
        "device": lambda: os.mknod("device", 0o20666, os.makedev(1, 5)),
        "link": lambda: Path("answers.npz").symlink_to("/etc/passwd"),
    }
    made = []
    for name, make in makers.items():
        with contextlib.suppress(OSError):
            make()
            made.append(name)
    return made or None


@attempt
def fill_memory_that_is_not_its_own() -> Any:
    memory = os.memfd_create("hidden")
    return os.write(memory, b"x")


@attempt
def use_system_v_memory() -> Any:
    return call(29 if os.uname().machine == "x86_64" else 194, 0, ctypes.c_size_t(4096), 0o1600)


@attempt
def use_calls_that_have_been_ways_out() -> Any:
    x86 = os.uname().machine == "x86_64"
    numbers = {
        "ptrace": (101, 117), "process_vm_readv": (310, 270), "bpf": (321, 280), "perf_event_open": (298, 241),
        "userfaultfd": (323, 282), "keyctl": (250, 219), "io_uring_setup": (425, 425), "unshare": (272, 97),
        "mount": (165, 40), "setns": (308, 268), "kexec_load": (246, 104), "open_tree": (428, 428),
        "fsopen": (430, 430), "name_to_handle_at": (303, 264), "pidfd_open": (434, 434), "personality": (135, 92),
        "clone3": (435, 435), "inotify_init1": (294, 26), "fanotify_init": (300, 262), "chroot": (161, 51),
        "a call of the future": (900, 900), "a call of x32": (0x40000027, 900),
    }  # fmt: skip
    refused = (1, 38)  # EPERM, ENOSYS
    codes = {}
    for name, (here, there) in numbers.items():
        LIBRARY.syscall(ctypes.c_long(here if x86 else there), -1, -1, -1, -1, -1)
        codes[name] = ctypes.get_errno()
    return {name: code for name, code in codes.items() if code not in refused} or None


@attempt
def clone_into_new_namespaces() -> Any:
    new_user, die = 0x10000000, 17
    pid = call(56 if os.uname().machine == "x86_64" else 220, ctypes.c_ulong(new_user | die), 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    return pid


@attempt
def run_code_of_32_bits() -> Any:
    """Call getpid by `int 0x80`, in whose numbers 20 is another call. The filter kills the process: ask in a child."""
    if os.uname().machine != "x86_64":
        return None
    pid = os.fork()
    if pid == 0:
        code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        code.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")
        ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    return None if os.WIFSIGNALED(status) else "ran"


def main() -> None:
    """Try everything."""
    found: dict[str, str] = {}
    refused: dict[str, str] = {}
    for name, function in ATTEMPTS.items():
        try:
            if (reached := function()) is not None:
                found[name] = repr(reached)[:200]
        except BaseException as error:
            refused[name] = repr(error)[:100]
    json.dump({"reached": found, "refused": refused}, sys.stdout)


if __name__ == "__main__":
    main()
