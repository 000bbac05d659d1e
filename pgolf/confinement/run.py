"""Running a command that strangers wrote, so that it reaches nothing but what it is given.

    ended = run_confined([sys.executable, "-P", "score.py"], reads=[...], writes=folder, limits=Limits(seconds=60))

A confined command has a clean environment, no network, no terminal, no descriptors and no other process to see or
signal. It reads the system's programs and libraries and what `reads` names, and writes into one folder. SECURITY.md
says what this protects from and what not.
"""

import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pgolf.confinement.guard import KERNEL_READS, SYSTEM_READS
from pgolf.errors import MachineError

Level = Literal["bubblewrap", "landlock", "none"]
CONFINED: tuple[Level, ...] = ("bubblewrap", "landlock")
"""The levels that strangers' code needs, the strongest first."""
UNCONFINED: tuple[Level, ...] = ("none",)
PACKAGE = Path(__file__).parent
START_GUARD = "import sys; sys.path.insert(0, sys.argv[1]); from pgolf.confinement.guard import main; main()"
SEARCH_PATH = "/usr/local/bin:/usr/bin:/bin"
SECONDS_TO_DIE = 10
Stopped = Literal["time", "output", "memory", "files", "processes", "threads"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a command may use. It is killed when it exceeds one, or gets an error from the kernel."""

    seconds: float
    memory_bytes: int = 16 << 30
    """Of all its processes together."""
    output_bytes: int = 1 << 20
    """Of stdout and stderr together."""
    answer_bytes: int = 256 << 20
    """Of all files that it writes."""
    answer_files: int = 1_000
    processes: int = 64
    """One, with threads, where the kernel does not hold the number: without a pid namespace, and for root."""


@dataclass(frozen=True, slots=True)
class Confinement:
    """What confined a command."""

    level: Level
    landlock: int | None
    """The version of the kernel's Landlock."""
    seccomp: bool
    namespaces: list[str]
    processes: int

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that has ended."""

    code: int
    """Negative: the signal that killed it."""
    out: str
    err: str
    stopped: Stopped | None
    """The limit for which it was killed."""
    confinement: Confinement

    @property
    def failure(self) -> str | None:
        """What went wrong, with the last line of stderr; None if the command did what it should."""
        if self.stopped == "time":
            return "took longer than its time limit"
        if self.stopped:
            return f"was stopped: more {self.stopped} than it may have"
        if self.code == 0:
            return None
        return f"ended with exit code {self.code}: {self.last_error_line}"

    @property
    def last_error_line(self) -> str:
        """The last line of stderr, shortened."""
        return (self.err.strip().splitlines() or ["stderr is empty"])[-1][:300]


class CannotConfine(Exception):
    """A level is not to be had here; the message says why."""


def run_confined(
    command: Sequence[str],
    *,
    writes: Path,
    limits: Limits,
    reads: Sequence[Path] = (),
    environment: Mapping[str, str] | None = None,
    levels: Sequence[Level] = CONFINED,
) -> Ended:
    """Run a command in the folder that it may write, at the first of some levels that this machine has.

    Args:
        command: The program's absolute path, and its arguments.
        writes: A folder that holds nothing worth keeping.
        limits: What the command may use.
        reads: Files and folders that the command may read, besides the system's programs and libraries.
        environment: Variables besides PATH, HOME and TMPDIR.
        levels: Levels to try in this order. With "none" among them the command may run with all rights of the user.

    Raises:
        MachineError: this machine has none of the levels.
    """
    reasons = []
    for level in levels:
        for namespaces in namespaces_of(level):
            try:
                return Attempt(level, namespaces, command, writes, limits, reads, environment or {}).run()
            except CannotConfine as error:
                reasons.append(f"{level}: {error}")
    raise MachineError(
        "this machine cannot confine strangers' code, so it was not run: "
        f"{'; '.join(dict.fromkeys(reasons))}. Install bubblewrap (Linux), or read the code and run it with all your "
        "rights: --unconfined"
    )


def namespaces_of(level: Level) -> Iterator[str]:
    """Yield who makes the namespaces of a level, in the order to try."""
    if level == "bubblewrap":
        yield "bubblewrap"
    elif level == "landlock":
        yield from ("own", "none")
    else:
        yield "none"


def interpreter_reads() -> list[Path]:
    """Return what this Python needs to start and to import what is installed for it.

    A folder that only a .pth file names, such as the checkout of an editable install, is not among them.
    """
    installed = [Path(each) for each in sys.path if Path(each).name in ("site-packages", "dist-packages")]
    return [Path(sys.prefix), Path(sys.base_prefix), Path(sys.executable).resolve().parent, *installed]


class Attempt:
    """One command at one level."""

    def __init__(
        self,
        level: Level,
        namespaces: str,
        command: Sequence[str],
        writes: Path,
        limits: Limits,
        reads: Sequence[Path],
        environment: Mapping[str, str],
    ) -> None:
        self.level, self.command, self.limits = level, command, limits
        self.writes = writes.resolve()
        self.reads = with_targets([*interpreter_reads(), *reads])
        variables = {"PATH": SEARCH_PATH, "HOME": str(self.writes), "TMPDIR": str(self.writes), **environment}
        self.orders = {
            "level": level,
            "namespaces": namespaces,
            "command": list(command),
            "writes": str(self.writes),
            "reads": self.reads,
            "environment": variables,
            "limits": asdict(limits),
        }

    def run(self) -> Ended:
        """Run the command.

        Raises:
            CannotConfine: the level is not to be had.
        """
        if sys.platform != "linux" and self.level != "none":
            raise CannotConfine(f"needs Linux; this is {sys.platform}")
        receiver, sender = os.pipe()
        with open(receiver, "rb", buffering=0) as report:  # noqa: PTH123
            try:
                process = subprocess.Popen(
                    self.guard_command(),
                    cwd="/",
                    env={"PATH": SEARCH_PATH},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    pass_fds=(sender,),
                    start_new_session=True,
                )
            finally:
                os.close(sender)
            listener = Listener(process, report, self.limits)
            try:
                listener.order(self.orders | {"report_to": sender})
                listener.listen()
            finally:
                report.close()
                if self.level == "landlock" and self.orders["namespaces"] == "none":
                    wait_for_guard(process)
                end(process)
        return self.ended(listener)

    def guard_command(self) -> list[str]:
        """Return the command of the guard, within bubblewrap at that level.

        Raises:
            CannotConfine: bubblewrap is not installed.
        """
        guard = [sys.executable, "-I", "-S", "-c", START_GUARD, str(PACKAGE.parent.parent)]
        if self.level != "bubblewrap":
            return guard
        program = shutil.which("bwrap", path=SEARCH_PATH)
        if program is None:
            raise CannotConfine("bwrap is not installed")
        return [program, *self.bubblewrap_options(), "--", *guard]

    def bubblewrap_options(self) -> Iterator[str]:
        """Yield bubblewrap's options: namespaces, and a tree of files with nothing but what is named."""
        yield from ("--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts")
        yield from ("--unshare-cgroup-try", "--die-with-parent", "--new-session", "--as-pid-1", "--clearenv")
        yield from ("--cap-drop", "ALL", "--proc", "/proc")
        own = (str(PACKAGE.parent / "__init__.py"), str(PACKAGE))
        for path in dict.fromkeys((*SYSTEM_READS, *KERNEL_READS, *self.reads, *own)):
            if path.startswith("/dev/"):
                yield from ("--dev-bind-try", path, path)
            elif not path.startswith("/proc/"):
                yield from ("--ro-bind-try", path, path)
        yield from ("--dev-bind", os.devnull, os.devnull, "--bind", str(self.writes), str(self.writes))
        yield from ("--remount-ro", "/", "--chdir", "/")

    def ended(self, listener: "Listener") -> Ended:
        """Return how the command ended.

        Raises:
            CannotConfine: it was not started.
        """
        out, err = (bytes(listener.texts[name]).decode(errors="replace") for name in ("out", "err"))
        reason = listener.facts.get("failed")
        if (facts := listener.facts.get("confined")) is None:
            reason = reason or (err.strip().splitlines() or ["no reason was given"])[-1]
            raise CannotConfine(str(reason)[:300])
        if reason:
            err += f"\nits guard failed: {reason}"
        stopped = listener.stopped or listener.facts.get("stopped")
        code = listener.facts.get("code", -9)
        return Ended(code, out, err, stopped, Confinement(self.level, **facts))


class Listener:
    """Reads what the guard and the command write, within limits."""

    def __init__(self, process: "subprocess.Popen[bytes]", report: Any, limits: Limits) -> None:
        self.process, self.limits = process, limits
        self.texts = {"out": bytearray(), "err": bytearray(), "report": bytearray()}
        self.stopped: Stopped | None = None
        self.deadline = time.monotonic() + limits.seconds
        self.selector = selectors.DefaultSelector()
        for name, file in (("out", process.stdout), ("err", process.stderr), ("report", report)):
            assert file is not None
            self.selector.register(file, selectors.EVENT_READ, name)

    @property
    def facts(self) -> dict[str, Any]:
        """What the guard has reported."""
        facts: dict[str, Any] = {}
        for line in self.texts["report"].splitlines():
            facts |= json.loads(line)
        return facts

    def order(self, orders: Mapping[str, Any]) -> None:
        """Send the guard its orders."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError), self.process.stdin as file:  # it says why on stderr
            file.write(json.dumps(orders).encode())

    def listen(self) -> None:
        """Read until all streams are closed or a limit is exceeded."""
        with self.selector:
            while self.selector.get_map():
                left = self.deadline - time.monotonic()
                if left <= 0:
                    self.stopped = "time"
                    return
                for key, _ in self.selector.select(left):
                    piece = os.read(key.fd, 1 << 16)
                    if not piece:
                        self.selector.unregister(key.fileobj)
                        continue
                    self.texts[key.data] += piece
                    if len(self.texts["out"]) + len(self.texts["err"]) > self.limits.output_bytes:
                        self.stopped = "output"
                        return


def wait_for_guard(process: "subprocess.Popen[bytes]") -> None:
    """Wait until the guard has seen that nobody listens, has killed the command, and has ended.

    It does so at its next look. The command is in a session of its own, and in no namespace that ends with the guard.
    """
    with suppress(subprocess.TimeoutExpired):
        process.wait(SECONDS_TO_DIE)


def end(process: "subprocess.Popen[bytes]") -> None:
    """End the guard and with it everything that it started, and wait until all are dead."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    deadline = time.monotonic() + SECONDS_TO_DIE
    for stream in (process.stdout, process.stderr):
        assert stream is not None
        with stream, selectors.DefaultSelector() as selector:  # closed by the last process that has it
            selector.register(stream, selectors.EVENT_READ)
            while (left := deadline - time.monotonic()) > 0 and selector.select(left):
                if not os.read(stream.fileno(), 1 << 16):
                    break
    process.wait()


def with_targets(paths: Sequence[Path]) -> list[str]:
    """Return the absolute paths, each followed by what it is behind all links if that differs."""
    names = [name for path in paths for name in (str(path.absolute()), str(path.resolve()))]
    return list(dict.fromkeys(names))
