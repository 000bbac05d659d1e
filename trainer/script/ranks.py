"""The processes of a script: started as torchrun does, heard as one, ended together."""

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

LOOK_AGAIN_SECONDS = 0.2
CHUNK_BYTES = 1 << 16
# What a script is given to leave a checkpoint. The launcher that asked waits a little longer.
SCRIPT_GRACE_SECONDS = 8.0
# A line that never ends is cut after so many bytes.
LONGEST_LINE_BYTES = 1 << 20
SUBREAPER = Path(__file__).with_name("subreaper.py")
SUBREAPER_SECONDS = 3.0


class ScriptRanks:
    """The processes of one attempt. Each writes into a pipe of its own, so that lines stay whole."""

    def __init__(self, script: str, folder: Path, variables: Mapping[str, str], withheld: Sequence[str]) -> None:
        self.script, self.folder = script, folder
        self.variables, self.withheld = variables, withheld
        self.processes: list[subprocess.Popen[bytes]] = []
        self.pipes: dict[int, bytes] = {}
        """The receiving ends, each with the beginning of a line that is not whole yet."""

    def start(self, count: int | None) -> None:
        """Nothing; so many processes are at work, each told its rank. None is one that is told nothing of ranks."""
        port = free_port()
        for rank in range(count or 1):
            receiver, sender = os.pipe()
            self.pipes[receiver] = b""
            places = {} if count is None else rank_variables(rank, count, port)
            # `env` leaves to the script what this process has, but for what is withheld.
            kept_back = [word for name in self.withheld for word in ("-u", name)]
            given = [f"{name}={text}" for name, text in {**places, **self.variables, "PYTHONUNBUFFERED": "1"}.items()]
            command = [sys.executable, "-P", str(SUBREAPER), str(os.getpid())]
            command += ["env", *kept_back, *given, sys.executable, self.script]
            self.processes.append(
                subprocess.Popen(
                    command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=sender, stderr=sender, process_group=0
                )
            )
            os.close(sender)

    def lines(self) -> Iterator[str | None]:
        """Lines as they come, with None at every look in between, until all processes have ended or one has failed."""
        with selectors.DefaultSelector() as selector:
            for receiver in self.pipes:
                selector.register(receiver, selectors.EVENT_READ)
            while selector.get_map():
                is_over = all(process.poll() is not None for process in self.processes)
                is_over |= any(process.poll() for process in self.processes)
                ready = selector.select(0 if is_over else LOOK_AGAIN_SECONDS)
                for key, _ in ready:
                    content = os.read(key.fd, CHUNK_BYTES)
                    yield from self.complete_lines(key.fd, content)
                    if not content:
                        selector.unregister(key.fd)
                if is_over and not ready:  # what is left belongs to children of the script's own
                    break
                yield None
        yield from (rest.decode("utf-8", "replace") for rest in self.pipes.values() if rest)

    def complete_lines(self, receiver: int, content: bytes) -> Iterator[str]:
        """Lines that are whole; the beginning of the next is kept. Of a progress bar's line the last state counts."""
        *complete, rest = (self.pipes[receiver] + content).split(b"\n")
        for line in complete:
            yield line.rstrip(b"\r").rpartition(b"\r")[2].decode("utf-8", "replace")
        rest = rest.rpartition(b"\r")[2] if rest.count(b"\r") > 1 else rest
        if len(rest) > LONGEST_LINE_BYTES:
            yield rest.decode("utf-8", "replace")
            rest = b""
        self.pipes[receiver] = rest

    def end(self) -> int:
        """The exit code of the first process that failed, else 0; all have ended, having had their time to."""
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
    """Nothing; a process and its children have been told, those that are left."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def rank_variables(rank: int, count: int, port: int) -> dict[str, str]:
    """What torchrun tells a process on the only machine of a run."""
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
    if count > 1:
        facts["OMP_NUM_THREADS"] = 1
    return {name: str(fact) for name, fact in facts.items()}


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
