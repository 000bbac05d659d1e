"""The processes of a script: started as torchrun does, read line by line, ended together."""

import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from trainer.script.subreaper import END_ALL

POLL_OUTPUT_SECONDS = 0.2
CHUNK_BYTES = 1 << 16
# Time for the script to write a checkpoint. Launchers wait a little longer.
SCRIPT_GRACE_SECONDS = 8.0
# A line without an end is cut after this many bytes.
LONGEST_LINE_BYTES = 1 << 20
SUBREAPER = Path(__file__).with_name("subreaper.py")
SUBREAPER_SECONDS = 3.0


class ScriptRanks:
    """The processes of one attempt. Each writes into a pipe of its own, so that lines do not mix."""

    def __init__(
        self,
        script: str,
        folder: Path,
        variables: Mapping[str, str],
        withheld: Sequence[str],
        threads: int | None,
    ) -> None:
        self.script, self.folder, self.threads = script, folder, threads
        self.variables, self.withheld = variables, withheld
        self.processes: list[subprocess.Popen[bytes]] = []
        self.pipes: dict[int, bytes] = {}
        """The beginning of an unfinished line for each receiving end."""

    def start(self, count: int | None) -> None:
        """Start `count` processes, each with the variables of its rank; None: one process without them."""
        port = free_port()
        for rank in range(count or 1):
            receiver, sender = os.pipe()
            self.pipes[receiver] = b""
            places = {} if count is None else rank_variables(rank, count, port)
            if self.threads is not None:
                places["OMP_NUM_THREADS"] = str(self.threads)
            # `env` passes on the environment of this process except for the withheld variables.
            unset = [word for name in self.withheld for word in ("-u", name)]
            given = [f"{name}={text}" for name, text in {**places, **self.variables, "PYTHONUNBUFFERED": "1"}.items()]
            command = [sys.executable, "-P", str(SUBREAPER), str(os.getpid())]
            command += ["env", *unset, *given, sys.executable, self.script]
            self.processes.append(
                subprocess.Popen(
                    command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=sender, stderr=sender, process_group=0
                )
            )
            os.close(sender)

    def lines(self) -> Iterator[str | None]:
        """Yield lines as they come, and None at every poll, until all processes have ended or one has failed."""
        with selectors.DefaultSelector() as selector:
            for receiver in self.pipes:
                selector.register(receiver, selectors.EVENT_READ)
            while selector.get_map():
                is_over = all(process.poll() is not None for process in self.processes)
                is_over |= any(process.poll() for process in self.processes)
                ready = selector.select(0 if is_over else POLL_OUTPUT_SECONDS)
                for key, _ in ready:
                    content = os.read(key.fd, CHUNK_BYTES)
                    yield from self.complete_lines(key.fd, content)
                    if not content:
                        selector.unregister(key.fd)
                if is_over and not ready:  # only children of the script still hold the pipes
                    break
                yield None
        yield from (rest.decode("utf-8", "replace") for rest in self.pipes.values() if rest)

    def complete_lines(self, receiver: int, content: bytes) -> Iterator[str]:
        """Yield finished lines, and keep the beginning of the next. Of a progress bar only the last state is kept."""
        *complete, rest = (self.pipes[receiver] + content).split(b"\n")
        for line in complete:
            yield line.rstrip(b"\r").rpartition(b"\r")[2].decode("utf-8", "replace")
        rest = rest.rpartition(b"\r")[2] if rest.count(b"\r") > 1 else rest
        if len(rest) > LONGEST_LINE_BYTES:
            yield rest.decode("utf-8", "replace")
            rest = b""
        self.pipes[receiver] = rest

    def end(self) -> int:
        """End all processes, after a grace period, and return the exit code of the first that failed, else 0."""
        failed = next((process.returncode for process in self.processes if process.poll()), None)
        deadline = time.monotonic() + SCRIPT_GRACE_SECONDS
        for process in self.processes:
            signal_group(process, signal.SIGTERM)
        for process in self.processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
        for process in self.processes:
            with suppress(ProcessLookupError):
                process.send_signal(END_ALL)
            try:
                process.wait(SUBREAPER_SECONDS)
            except subprocess.TimeoutExpired:
                signal_group(process, signal.SIGKILL)
                process.wait()
        while self.pipes:
            os.close(self.pipes.popitem()[0])
        return failed or next((process.returncode for process in self.processes if process.returncode), 0)


def signal_group(process: "subprocess.Popen[bytes]", number: int) -> None:
    """Send a signal to a process and its children, as far as they still run."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def rank_variables(rank: int, count: int, port: int) -> dict[str, str]:
    """Return the variables that torchrun sets for a process of a run on one machine."""
    facts: dict[str, object] = {
        "RANK": rank,
        "LOCAL_RANK": rank,
        "ROLE_RANK": rank,
        "GROUP_RANK": 0,
        "WORLD_SIZE": count,
        "LOCAL_WORLD_SIZE": count,
        "ROLE_WORLD_SIZE": count,
        "GROUP_WORLD_SIZE": 1,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
    }
    return {name: str(fact) for name, fact in facts.items()}


def free_port() -> int:
    """Return a port on which nothing listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
