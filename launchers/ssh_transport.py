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

from launchers.ssh_agent import ANSWER_MARK
from pgolf.errors import LauncherError, Unreachable

AGENT = Path(__file__).with_name("ssh_agent.py")
# Exit codes of ssh and of a shell.
CONNECTION_FAILED, NO_SUCH_COMMAND = 255, 127
# ssh has one exit code for all these, so its messages are matched. It does not translate them.
PERMISSION_DENIED, HOST_KEY_FAILED, UNKNOWN_NAME = (
    "Permission denied",
    "Host key verification failed",
    "resolve hostname",
)
# What proxies say that offer a terminal and run no commands. Lower case; OpenSSH's own words among them.
ONLY_TERMINALS = (
    "support pty",
    "requires a pty",
    "pty allocation request failed",
    "exec request failed",
    "shell request failed",
    "not a terminal",
    "not a tty",
    "sftp connections only",
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
        if process.returncode == CONNECTION_FAILED and ANSWER_MARK.encode() not in out:
            raise self.connection_error(err.decode(errors="replace").strip(), out.decode(errors="replace"))
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def connection_error(self, stderr: str, stdout: str = "") -> LauncherError:
        """Return the error that ssh's message stands for, with what to do."""
        last = stderr.splitlines()[-1] if stderr else "ssh gave no reason"
        if words := refusal_of_commands(f"{stdout}\n{stderr}"):
            return self.no_commands_error(words)
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

    def no_commands_error(self, words: str) -> LauncherError:
        """Return the error for an address that runs no commands; `words` are what it says."""
        return LauncherError(
            f"{self.name} offers terminals only and runs no commands (it says {words!r}), as ssh.runpod.io and other "
            "proxies do. Use the machine's direct ssh address, which providers list as `SSH over exposed TCP`: set "
            "launch.options.host and launch.options.port to it"
        )

    def answer_of(self, output: bytes, code: int, stderr: bytes, command: str) -> bytes:
        """Return what follows ANSWER_MARK in the output of a command of the agent.

        Raises:
            LauncherError: the mark is missing, so the agent did not run; says what was there in its place.
        """
        text, mark, answer = output.partition(ANSWER_MARK.encode())
        if mark:
            return answer
        printed, said = (each.decode(errors="replace").strip() for each in (text, stderr))
        if words := refusal_of_commands(f"{printed}\n{said}"):
            raise self.no_commands_error(words)
        if printed:
            raise LauncherError(
                f"{self.name}: the shell there prints text at login (first line {printed.splitlines()[0][:80]!r}) and "
                f"did not run the command {command!r} (exit code {code}{last_line(said)}). If ~/.bashrc there ends or "
                'replaces the shell, guard it with a first line `[ -z "$PS1" ] && return`; if this is the proxy of a '
                "provider, use the machine's direct ssh address (launch.options.host and port)"
            )
        raise LauncherError(f"{self.name}: {command} gave no answer (exit code {code}{last_line(said)})")


def refusal_of_commands(text: str) -> str:
    """Return the line in which a proxy says that it offers terminals only; an empty text if there is none."""
    return next((line for line in text.splitlines() if any(words in line.lower() for words in ONLY_TERMINALS)), "")


def last_line(text: str) -> str:
    """Return the last line of a text after a colon; an empty text if there is none."""
    return f": {text.splitlines()[-1]}" if text else ""


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
        answer: dict[str, Any] = json.loads(self.run(command, stdin, **arguments).partition(b"\n")[0])
        if "error" in answer:
            raise LauncherError(f"{self.host.name}: {answer['error']}")
        return answer

    def run(self, command: str, stdin: bytes | IO[bytes] = b"", **arguments: Any) -> bytes:
        """Run a command of the agent and return the bytes of its answer, without what the shell there prints before.

        Raises:
            LauncherError: the agent could not run.
            Unreachable: the machine does not answer.
        """
        words = self.command_line(command, **arguments)
        ended = self.host.run(words, stdin)
        if AGENT_MISSING in ended.stderr and ANSWER_MARK.encode() not in ended.stdout:
            self.install()
            if not isinstance(stdin, bytes):
                stdin.seek(0)
            ended = self.host.run(words, stdin)
        if ended.returncode == NO_SUCH_COMMAND:
            raise LauncherError(
                f"{self.host.name} has no {self.python}; set launch.options.python to one with torch, such as "
                "/opt/conda/bin/python"
            )
        has_run = ANSWER_MARK.encode() in ended.stdout
        if not has_run and any(error in ended.stderr for error in AGENT_TOO_NEW):
            version = self.host.run([self.python, "--version"])
            found = (version.stdout + version.stderr).decode(errors="replace").strip().splitlines()[-1:]
            raise LauncherError(
                f"{self.host.name}: {self.python} is {' '.join(found)}, but 3.11 or newer is needed; "
                "set launch.options.python"
            )
        return self.host.answer_of(ended.stdout, ended.returncode, ended.stderr, command)

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
