"""Shells that print at login, and addresses that run no commands, each with a real sshd."""

import json
from pathlib import Path

import pytest

from launchers.ssh import SshLauncher, agent_of, receive_files
from launchers.ssh_transport import SshHost
from pgolf.errors import LauncherError, Unreachable
from tests.launchers.backends import SshBackend, sshd

PRINTS = 'printf \'Welcome to lab\\n{"error": "none"}\\nno newline\'; eval "$SSH_ORIGINAL_COMMAND"; echo logout'


def options_of(backend: SshBackend) -> SshLauncher.Options:
    return SshLauncher.Options.model_validate(backend.launch["options"])


def test_what_the_shell_prints_around_an_answer_is_not_read(tmp_path: Path, bare_python: Path) -> None:
    with sshd(tmp_path / "ssh", bare_python, login=PRINTS) as backend:
        agent = agent_of(options_of(backend))
        found = agent.call("probe", root=str(backend.volume), libraries=["no_such_library"])
        assert (found["root"], found["missing"]) == (str(backend.volume), ["no_such_library"])
        content = bytes(range(256)) * 1000
        run = backend.volume / "runs" / "x"
        run.mkdir(parents=True)
        (run / "model.bin").write_bytes(content)
        hashes = agent.call("list_files", run=str(run), ledger=False)["files"]
        (tmp_path / "here").mkdir()
        receive_files(agent, str(run), hashes, tmp_path / "here")
        assert (tmp_path / "here" / "model.bin").read_bytes() == content
        with pytest.raises(LauncherError, match=r"x\.bin arrived with SHA-256"):
            agent.call("receive", b"some bytes", path=str(backend.volume / "x.bin"), sha256="0" * 64)


REFUSALS = (
    ('echo "Error: Your SSH client doesn\'t support PTY"; exit 1', ("terminals only", "SSH over exposed TCP")),
    ("echo 'exec request failed on channel 0' >&2; exit 255", ("terminals only", "launch.options.port")),
    ("echo 'This service allows sftp connections only.'; exit 1", ("terminals only",)),
    ("echo '*** Welcome ***'; exit 0", ("prints text at login", "'*** Welcome ***'", "guard it", "~/.bashrc")),
    ("exit 0", ("probe gave no answer (exit code 0",)),
)


@pytest.mark.slow
def test_an_address_that_runs_no_commands_is_named(tmp_path: Path, bare_python: Path) -> None:
    login = tmp_path / "login.sh"
    with sshd(tmp_path / "ssh", bare_python, login=f"sh {login}") as backend:
        for script, words in REFUSALS:
            login.write_text(script)
            with pytest.raises(LauncherError) as refused:
                agent_of(options_of(backend)).call("probe", root=str(backend.volume), libraries=[])
            assert not isinstance(refused.value, Unreachable)
            for word in words:
                assert word in str(refused.value)


def test_words_of_ssh_are_told_from_those_of_a_proxy() -> None:
    host = SshHost("pod", None, None, None, 10)
    lost = host.connection_error("ssh: connect to host pod port 22: Connection timed out")
    assert isinstance(lost, Unreachable)
    proxy = host.connection_error("PTY allocation request failed on channel 0\nshell request failed on channel 0")
    assert "terminals only" in str(proxy)


@pytest.mark.slow
def test_an_answer_of_the_agent_is_one_line(tmp_path: Path, bare_python: Path) -> None:
    """The transport reads one line after the mark; line ends within an answer are escaped."""
    with sshd(tmp_path / "ssh", bare_python) as backend:
        agent = agent_of(options_of(backend))
        run = backend.volume / "runs" / "x"
        run.mkdir(parents=True)
        (run / "run.json").write_text("{}")
        (run / "train.log").write_text("one\ntwo\u2028three\x1e\n")
        known = {"train.log": (0, "")}
        found = json.loads(json.dumps(agent.call("poll", run=str(run), known=known)))
        assert found["files"]["train.log"]["text"] == "one\ntwo\u2028three\x1e\n"
