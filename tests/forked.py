"""`python -m trainer` and `python -m pgolf` as forks of a process that has imported both.

A fresh interpreter spends 1.5 s of CPU on importing torch and 0.6 s on pgolf, and most tests start several. Each test
worker therefore has a fork server, which has imported both and computed nothing. In tests, `ForkedPopen` takes the
place of `subprocess.Popen`, in the server's forks too. It asks the server for commands `PYTHON [-P] [-u] -m MODULE ...`
with modules of pgolf, trainer and tests.trainer, and leaves everything else to the real class.

A fork differs from a fresh process in this: its modules are imported, its hash seed is the server's, its parent is the
server, and /proc shows the server's command line. Tests that depend on any of these are marked `real_process`.
"""

import atexit
import fcntl
import gc
import importlib
import inspect
import json
import os
import pkgutil
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, NoReturn

PACKAGES, FLAGS = ("trainer.", "pgolf.", "tests.trainer."), {"-P", "-u"}
# Variables that a process reads before it runs any code of the project. One in which they differ is a real process.
READ_AT_START = ("PYTHON", "LD_", "LC_", "LANG", "OMP_", "KMP_", "GOMP_", "MKL_", "OPENBLAS_", "MALLOC_")
MOST_DESCRIPTORS, LARGEST_DESCRIPTOR = 64, 512
READY = b"r"
# Arguments of Popen that a fork does not serve with other values.
PLAIN = {
    "executable": None, "shell": False, "close_fds": True, "preexec_fn": None, "umask": -1, "uid": None,
    "gid": None, "gids": None,
}  # fmt: skip

RealPopen: Any = subprocess.Popen


class ForkedPopen(RealPopen):
    """`subprocess.Popen`, with processes of the project forked by a server."""

    find_server: ClassVar[Callable[[], str] | None] = None
    """Returns the address of the server's socket. None: every process is a real one."""
    variables: ClassVar[dict[str, str]] = {}
    """What the server read at its start."""
    cores: ClassVar[set[int]] = set()
    status = -1
    """A descriptor on which the server reports the end of this process. -1: this is a real process."""

    def _execute_child(self, *arguments: Any) -> None:
        given = inspect.signature(RealPopen._execute_child).bind(self, *arguments).arguments
        order = self.order(given)
        if order is None:
            super()._execute_child(*arguments)
            return
        child_ends = [given[name] for name in ("p2cread", "c2pwrite", "errwrite")]
        streams = [number if end == -1 else end for number, end in enumerate(child_ends)]
        assert ForkedPopen.find_server is not None
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(ForkedPopen.find_server())
            message = json.dumps(order).encode()
            connection.sendall(len(message).to_bytes(4, "big") + message)
            socket.send_fds(connection, [READY], [*streams, *order["pass_fds"]])
            self.pid = int.from_bytes(receive(connection, 1 + 4)[1:], "big")
            self.status = connection.detach()
        self._child_created = True
        ends = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(given[name] for name in ends))

    def order(self, given: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return what the server needs to know, or None if this is to be a real process."""
        if ForkedPopen.find_server is None or isinstance(given["args"], str | bytes | os.PathLike):
            return None
        if any(given[name] != value for name, value in PLAIN.items()):
            return None
        command = [os.fsdecode(word) for word in given["args"]]
        module = command.index("-m") + 1 if "-m" in command else len(command)
        if command[0] != sys.executable or not FLAGS.issuperset(command[1 : module - 1]):
            return None
        if module >= len(command) or not f"{command[module]}.".startswith(PACKAGES):
            return None
        environment = dict(os.environ if given["env"] is None else given["env"])
        if read_at_start(environment) != self.variables or os.sched_getaffinity(0) != self.cores:
            return None
        folder = os.fspath(given["cwd"] or Path.cwd())
        if not os.access(folder, os.X_OK):
            return None
        return {
            "command": command,
            "module": module,
            "folder": folder,
            "environment": environment,
            "pass_fds": [int(number) for number in given["pass_fds"]],
            "new_session": given["start_new_session"],
            "process_group": given["process_group"],
            "ignores_interrupts": signal.getsignal(signal.SIGINT) is signal.SIG_IGN,
        }

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        if self.status < 0:
            pid, status = super()._try_wait(wait_flags)
            return pid, status
        if wait_flags & os.WNOHANG and not select.select([self.status], [], [], 0)[0]:
            return 0, 0
        content = os.read(self.status, 4)
        return self.pid, int.from_bytes(content, "big") if content else signal.SIGKILL

    def _internal_poll(self, *arguments: Any, **names: Any) -> Any:
        if self.status < 0:
            return super()._internal_poll(*arguments, **names)
        if self.returncode is None and self._waitpid_lock.acquire(False):
            try:
                pid, status = self._try_wait(os.WNOHANG)
                if pid:
                    self._handle_exitstatus(status)
            finally:
                self._waitpid_lock.release()
        return self.returncode

    def __del__(self) -> None:
        super().__del__()
        if self.status >= 0 and self.returncode is not None:
            os.close(self.status)
            self.status = -1


def receive(connection: socket.socket, size: int) -> bytes:
    """Return exactly `size` bytes."""
    content = b""
    while len(content) < size:
        part = connection.recv(size - len(content))
        if not part:
            raise ConnectionError("the fork server, or what it forked, is gone")
        content += part
    return content


def read_at_start(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in environment.items() if name.startswith(READ_AT_START)}


@contextmanager
def fork_server() -> Iterator[None]:
    """Start the project's processes through a server while the context lasts. What is left of them is killed.

    The server starts when it is first needed.
    """
    lock = threading.Lock()
    with ExitStack() as stack:
        start = cache(lambda: stack.enter_context(running_server()))

        def find_server() -> str:
            with lock:
                return start()

        use_server(find_server)
        try:
            yield
        finally:
            ForkedPopen.find_server = None
            subprocess.Popen = RealPopen  # type: ignore[misc]


@contextmanager
def running_server() -> Iterator[str]:
    """Start a server, yield its address, and end it with what it forked."""
    folder = Path(tempfile.mkdtemp(prefix="pgolf-fork-"))
    address = str(folder / "socket")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(128)
        receiver, sender = os.pipe()
        numbers = (listener.fileno(), receiver)
        command = [sys.executable, "-P", __file__, *map(str, numbers), address]
        # Not in the folder of the test that runs now: it is removed, and MKL ends a process without a working folder.
        server = RealPopen(command, pass_fds=numbers, stdin=subprocess.DEVNULL, cwd=Path(__file__).parent)
        os.close(receiver)
    try:
        yield address
    finally:
        os.close(sender)
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)


def use_server(find_server: Callable[[], str]) -> None:
    """Have this process start those of the project through a server that began as it did."""
    ForkedPopen.find_server = staticmethod(find_server)
    ForkedPopen.variables = read_at_start(os.environ)
    ForkedPopen.cores = os.sched_getaffinity(0)
    subprocess.Popen = ForkedPopen  # type: ignore[misc]


@contextmanager
def real_processes() -> Iterator[None]:
    """Make every process a real one while the context lasts, and those that it starts too."""
    subprocess.Popen, forked = RealPopen, subprocess.Popen  # type: ignore[misc]
    try:
        yield
    finally:
        subprocess.Popen = forked  # type: ignore[misc]


class Server:
    """What forks. It has one thread, since threads do not survive a fork."""

    def __init__(self, listener: socket.socket, lifeline: int) -> None:
        self.listener, self.lifeline = listener, lifeline
        self.children: dict[int, socket.socket] = {}
        """The connection to whoever started a child, by the child's pid."""
        self.woken, waker = os.pipe()
        for number in (self.woken, waker):
            os.set_blocking(number, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal reaches pytest, which ends this process
        signal.set_wakeup_fd(waker)

    def serve(self) -> None:
        """Fork until the other end of the lifeline is closed."""
        while True:
            ready, _, _ = select.select([self.listener.fileno(), self.woken, self.lifeline], [], [])
            if self.woken in ready:
                os.read(self.woken, 1 << 12)
                self.reap()
            if self.listener.fileno() in ready:
                connection, _ = self.listener.accept()
                with suppress(ConnectionError):  # a client that was killed
                    self.fork(connection)
            if self.lifeline in ready:
                break
        for child in self.children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)

    def reap(self) -> None:
        """Report the children that have ended."""
        while self.children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            with self.children.pop(pid) as connection, suppress(OSError):  # nobody may be waiting any more
                connection.sendall(status.to_bytes(4, "big"))

    def fork(self, connection: socket.socket) -> None:
        """Start what the other end asks for."""
        order = json.loads(receive(connection, int.from_bytes(receive(connection, 4), "big")))
        _, descriptors, _, _ = socket.recv_fds(connection, 1, MOST_DESCRIPTORS)
        pid = os.fork()
        if pid == 0:
            run(order, connection, descriptors)
        self.children[pid] = connection
        for number in descriptors:
            os.close(number)


def run(order: dict[str, Any], connection: socket.socket, descriptors: list[int]) -> NoReturn:
    """Turn a fork into the process that was asked for, run its module and exit."""
    code = 70
    try:
        become(order)
        take_descriptors(connection.detach(), descriptors, [0, 1, 2, *order["pass_fds"]])
        open_streams("-u" in order["command"][: order["module"]])
        code = exit_code_of(order["command"][order["module"]])
    finally:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


def become(order: dict[str, Any]) -> None:
    """Take on what a process has from the one that starts it."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN if order["ignores_interrupts"] else signal.default_int_handler)
    if order["new_session"]:
        os.setsid()
    if order["process_group"] >= 0:
        os.setpgid(0, order["process_group"])
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    command, module = order["command"], order["module"]
    if "-P" not in command[:module]:
        sys.path.insert(0, order["folder"])
    sys.orig_argv, sys.argv = command, command[module:]


def take_descriptors(connection: int, descriptors: list[int], numbers: list[int]) -> None:
    """Give the descriptors that came their numbers, close all others, and tell the other end that this process runs."""
    kept = [fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, LARGEST_DESCRIPTOR) for number in (connection, *descriptors)]
    os.closerange(3, LARGEST_DESCRIPTOR)
    for number, target in zip(kept[1:], numbers, strict=True):
        os.dup2(number, target)
        os.close(number)
    os.write(kept[0], READY + os.getpid().to_bytes(4, "big"))
    os.close(kept[0])


def open_streams(unbuffered: bool) -> None:
    """Open the three streams as a new interpreter does."""
    unbuffered = unbuffered or bool(os.environ.get("PYTHONUNBUFFERED"))
    sys.stdin = sys.__stdin__ = open(0, closefd=False)  # type: ignore[misc]  # noqa: SIM115
    out = open(1, "w", closefd=False)  # noqa: SIM115
    err = open(2, "w", closefd=False, errors="backslashreplace")  # noqa: SIM115
    out.reconfigure(write_through=unbuffered, line_buffering=out.isatty())
    err.reconfigure(write_through=unbuffered, line_buffering=True)
    sys.stdout = sys.__stdout__ = out  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = err  # type: ignore[misc]


def exit_code_of(module: str) -> int:
    """Run a module as `python -m` does, and return the exit code of such a process."""
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            return (ended.code or 0) & 0xFF
        print(ended.code, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        traceback.print_exc()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def import_everything() -> None:
    """Import what the trainer and the command line may import at work."""
    for name in ("torch._dynamo", "launchers.local"):  # torch imports the one when it makes the first optimizer
        importlib.import_module(name)
    import pgolf
    import trainer

    for package in (trainer, pgolf):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.endswith("__main__"):
                importlib.import_module(found.name)
    assert threading.active_count() == 1, "a process with threads cannot be forked"


def main() -> None:
    """Import, then fork on request: `python -P forked.py LISTENER LIFELINE ADDRESS`."""
    listener, lifeline, address = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    import_everything()
    use_server(lambda: address)
    gc.collect()
    gc.freeze()
    Server(socket.socket(fileno=listener), lifeline).serve()
    shutil.rmtree(Path(address).parent, ignore_errors=True)  # a worker that was killed does not


if __name__ == "__main__":
    main()
