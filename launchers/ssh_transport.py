"""Commands on another machine, through the system's ssh with whatever is configured there."""

import hashlib
import json
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from pgolf.errors import LauncherError, Unreachable

AGENT = Path(__file__).with_name("ssh_agent.py")
# Exit codes of ssh, of a shell and of Python.
CONNECTION_FAILED, NO_SUCH_COMMAND, NO_SUCH_FILE = 255, 127, 2
# ssh has one exit code for all these, so its messages are matched. It does not translate them.
PERMISSION_DENIED, HOST_KEY_FAILED, UNKNOWN_NAME = (
    "Permission denied",
    "Host key verification failed",
    "resolve hostname",
)
# What Python prints when the agent is not installed yet, and when Python is too old for it.
AGENT_MISSING, AGENT_TOO_NEW = b"can't open file", (b"SyntaxError", b"TypeError")


@dataclass(frozen=True, slots=True)
class SshHost:
    """A machine and how to reach it. There is never a password: ssh's keys and agent are the only credentials."""

    name: str
    port: int | None
    identity_file: str | None
    config_file: str | None
    connect_seconds: int

    @property
    def command(self) -> list[str]:
        """Return the ssh command with its options. It asks nothing, because nobody may be there to answer."""
        options = ["-o", "BatchMode=yes", "-o", f"ConnectTimeout={self.connect_seconds}"]
        options += ["-o", "ServerAliveInterval=10", "-o", "ServerAliveCountMax=3"]
        options += [] if self.port is None else ["-p", str(self.port)]
        options += [] if self.identity_file is None else ["-i", str(Path(self.identity_file).expanduser())]
        options += [] if self.config_file is None else ["-F", self.config_file]
        return ["ssh", *options, "--", self.name]

    def start(
        self, command: Sequence[str], stdin: IO[bytes] | int, stdout: IO[bytes] | int
    ) -> "subprocess.Popen[bytes]":
        """Start a command there.

        Raises:
            LauncherError: ssh is not installed here.
        """
        try:
            return subprocess.Popen(
                [*self.command, shlex.join(command)], stdin=stdin, stdout=stdout, stderr=subprocess.PIPE
            )
        except FileNotFoundError:
            raise LauncherError("ssh is not installed here; install OpenSSH's client") from None

    def run(self, command: Sequence[str], stdin: bytes | IO[bytes] = b"") -> "subprocess.CompletedProcess[bytes]":
        """Run a command there to its end.

        Raises:
            Unreachable: the machine does not answer.
            LauncherError: it refuses the connection, or ssh is not installed here.
        """
        source = subprocess.PIPE if isinstance(stdin, bytes) else stdin
        with self.start(command, source, subprocess.PIPE) as process:
            out, err = process.communicate(stdin if isinstance(stdin, bytes) else None)
        if process.returncode == CONNECTION_FAILED:
            raise self.connection_error(err.decode(errors="replace").strip())
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def connection_error(self, stderr: str) -> LauncherError:
        """Return the error that ssh's message stands for, with what to do."""
        last = stderr.splitlines()[-1] if stderr else "ssh gave no reason"
        if PERMISSION_DENIED in stderr:
            return LauncherError(
                f"{self.name}: authentication failed: {last}. Put your public key there (ssh-copy-id {self.name}), "
                "start ssh-agent, or set launch.options.identity_file"
            )
        if HOST_KEY_FAILED in stderr:
            return LauncherError(
                f"{self.name}: its host key is unknown here or has changed; run `ssh {self.name}` once to see which"
            )
        if UNKNOWN_NAME in stderr:
            return Unreachable(f"{last}; set launch.options.host as in `ssh HOST`")
        return Unreachable(f"{self.name} does not answer: {last}")


@dataclass(frozen=True)
class RemoteAgent:
    """The agent (ssh_agent.py) on a machine; it is copied there at its first use."""

    host: SshHost
    python: str
    folder: str
    """Where pgolf keeps everything there; relative to the home folder unless absolute."""

    @cached_property
    def path(self) -> str:
        """File of the agent there. Its name has its hash, so that an agent in use is never replaced."""
        return f"{self.folder}/agent-{hashlib.sha256(AGENT.read_bytes()).hexdigest()[:12]}.py"

    def call(self, command: str, stdin: bytes | IO[bytes] = b"", **arguments: Any) -> dict[str, Any]:
        """Run a command of the agent and return its answer.

        Raises:
            LauncherError: the agent failed; quotes its message.
            Unreachable: the machine does not answer.
        """
        words = self.command_line(command, **arguments)
        ended = self.host.run(words, stdin)
        if ended.returncode == NO_SUCH_FILE and AGENT_MISSING in ended.stderr:
            self.install()
            if not isinstance(stdin, bytes):
                stdin.seek(0)
            ended = self.host.run(words, stdin)
        if ended.returncode == NO_SUCH_COMMAND:
            raise LauncherError(
                f"{self.host.name} has no {self.python}; set launch.options.python to one with torch, such as "
                "/opt/conda/bin/python"
            )
        if any(error in ended.stderr for error in AGENT_TOO_NEW):
            version = self.host.run([self.python, "--version"])
            found = (version.stdout + version.stderr).decode(errors="replace").strip()
            raise LauncherError(
                f"{self.host.name}: {self.python} is {found}, but 3.11 or newer is needed; set launch.options.python"
            )
        try:
            answer: dict[str, Any] = json.loads(ended.stdout)
        except ValueError:
            last = (ended.stderr.decode(errors="replace").strip().splitlines() or ["no output"])[-1]
            raise LauncherError(
                f"{self.host.name}: {command} failed with exit code {ended.returncode}: {last}"
            ) from None
        if "error" in answer:
            raise LauncherError(f"{self.host.name}: {answer['error']}")
        return answer

    def command_line(self, command: str, **arguments: Any) -> list[str]:
        """Return the command line that runs a command of the agent there."""
        return [self.python, self.path, command, json.dumps(arguments)]

    def install(self) -> None:
        """Copy the agent to the machine.

        Raises:
            LauncherError: it cannot be written there.
        """
        draft = f"{self.path}.tmp"
        script = 'mkdir -p "$1" && cat > "$2" && mv "$2" "$3"'
        ended = self.host.run(["sh", "-c", script, "sh", self.folder, draft, self.path], AGENT.read_bytes())
        if ended.returncode:
            raise LauncherError(f"{self.host.name}: {ended.stderr.decode(errors='replace').strip()}")
