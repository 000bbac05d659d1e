"""Commands on a machine that one can log into, through the system's own ssh and whatever its configuration says."""

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
CONNECTION_FAILED, NO_SUCH_COMMAND, NO_SUCH_FILE = 255, 127, 2


@dataclass(frozen=True, slots=True)
class SshHost:
    """A machine by the way to it. Never a password: ssh's keys and agent are the only credentials."""

    name: str
    port: int | None
    identity_file: str | None
    config_file: str | None
    connect_seconds: int

    @property
    def command(self) -> list[str]:
        """ssh with its options; it asks nothing, for nobody may be there to answer."""
        options = ["-o", "BatchMode=yes", "-o", f"ConnectTimeout={self.connect_seconds}"]
        options += ["-o", "ServerAliveInterval=10", "-o", "ServerAliveCountMax=3"]
        options += [] if self.port is None else ["-p", str(self.port)]
        options += [] if self.identity_file is None else ["-i", str(Path(self.identity_file).expanduser())]
        options += [] if self.config_file is None else ["-F", self.config_file]
        return ["ssh", *options, "--", self.name]

    def start(
        self, command: Sequence[str], stdin: IO[bytes] | int, stdout: IO[bytes] | int
    ) -> "subprocess.Popen[bytes]":
        """A command there.

        Raises: LauncherError when there is no ssh here.
        """
        try:
            return subprocess.Popen(
                [*self.command, shlex.join(command)], stdin=stdin, stdout=stdout, stderr=subprocess.PIPE
            )
        except FileNotFoundError:
            raise LauncherError("ssh is not installed here; install OpenSSH's client") from None

    def run(self, command: Sequence[str], stdin: bytes | IO[bytes] = b"") -> "subprocess.CompletedProcess[bytes]":
        """A command there and what it said.

        Raises: Unreachable when the machine does not answer, LauncherError when it lets nobody in.
        """
        source = subprocess.PIPE if isinstance(stdin, bytes) else stdin
        with self.start(command, source, subprocess.PIPE) as process:
            out, err = process.communicate(stdin if isinstance(stdin, bytes) else None)
        if process.returncode == CONNECTION_FAILED:
            raise self.connection_error(err.decode(errors="replace").strip())
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def connection_error(self, said: str) -> LauncherError:
        """What ssh's last words mean, with what to do."""
        last = said.splitlines()[-1] if said else "no reason given"
        if "Permission denied" in said:
            return LauncherError(
                f"{self.name} lets nobody in: {last}. Put your public key there (ssh-copy-id {self.name}), start "
                "ssh-agent, or set launch.options.identity_file"
            )
        if "Host key verification failed" in said:
            return LauncherError(
                f"{self.name} is not known here, or has another key; `ssh {self.name}` once says which"
            )
        if "resolve hostname" in said:
            return Unreachable(f"{last}; launch.options.host should be as in `ssh HOST`")
        return Unreachable(f"{self.name} does not answer: {last}")


@dataclass(frozen=True)
class RemoteAgent:
    """The agent on a machine, put there when it is asked for the first time."""

    host: SshHost
    python: str
    folder: str
    """Of everything that pgolf keeps there; relative to the home folder unless absolute."""

    @cached_property
    def path(self) -> str:
        """Another agent has another name, so that one in use is never replaced."""
        return f"{self.folder}/agent-{hashlib.sha256(AGENT.read_bytes()).hexdigest()[:12]}.py"

    def call(self, command: str, stdin: bytes | IO[bytes] = b"", **arguments: Any) -> dict[str, Any]:
        """The agent's answer.

        Raises: LauncherError in its words; Unreachable.
        """
        words = self.command_line(command, **arguments)
        ended = self.host.run(words, stdin)
        if ended.returncode == NO_SUCH_FILE and b"can't open file" in ended.stderr:
            self.install()
            if not isinstance(stdin, bytes):
                stdin.seek(0)
            ended = self.host.run(words, stdin)
        if ended.returncode == NO_SUCH_COMMAND:
            raise LauncherError(
                f"{self.host.name} has no {self.python}; set launch.options.python to one with torch, such as "
                "/opt/conda/bin/python"
            )
        if b"SyntaxError" in ended.stderr or b"TypeError" in ended.stderr:
            version = self.host.run([self.python, "--version"])
            found = (version.stdout + version.stderr).decode(errors="replace").strip()
            raise LauncherError(
                f"{self.host.name} has {found} as {self.python}, 3.11 or newer is needed; set launch.options.python"
            )
        try:
            answer: dict[str, Any] = json.loads(ended.stdout)
        except ValueError:
            last = (ended.stderr.decode(errors="replace").strip().splitlines() or ["nothing"])[-1]
            raise LauncherError(f"{self.host.name}: {command} failed, code {ended.returncode}: {last}") from None
        if "error" in answer:
            raise LauncherError(f"{self.host.name}: {answer['error']}")
        return answer

    def command_line(self, command: str, **arguments: Any) -> list[str]:
        """The command line there."""
        return [self.python, self.path, command, json.dumps(arguments)]

    def install(self) -> None:
        """Nothing; the agent is there.

        Raises: LauncherError when it cannot be written there.
        """
        draft = f"{self.path}.tmp"
        script = 'mkdir -p "$1" && cat > "$2" && mv "$2" "$3"'
        ended = self.host.run(["sh", "-c", script, "sh", self.folder, draft, self.path], AGENT.read_bytes())
        if ended.returncode:
            raise LauncherError(f"{self.host.name}: {ended.stderr.decode(errors='replace').strip()}")
