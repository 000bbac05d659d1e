"""The backends of the conformance suite."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from tests.launchers.backends import Backend, LocalBackend, modal_server, one_node_slurm, sshd
from tests.launchers.user import User

PLUGIN = Path(__file__).parent.parent.parent / "examples" / "pgolf-slurm"


@pytest.fixture(params=["local", "ssh", "modal", "slurm"])
def backend(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    session_folder: Path,
    bare_python: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Backend]:
    """Each backend in turn; one whose tools are not installed is skipped, naming them."""
    match request.param:
        case "local":
            yield LocalBackend()
        case "ssh":
            with sshd(tmp_path / "ssh", bare_python) as found:
                yield found
        case "modal":
            with modal_server(tmp_path / "modal", bare_python, monkeypatch) as cloud:
                yield cloud
        case "slurm":
            with one_node_slurm(tmp_path / "slurm", installed_plugin(session_folder), monkeypatch) as cluster:
                yield cluster


@pytest.fixture
def user(tmp_path: Path, backend: Backend) -> User:
    """Return a user in an empty folder. Modules that test one launcher have a `backend` of their own."""
    folder = tmp_path / "user"
    folder.mkdir()
    return User(folder, backend)


def installed_plugin(session_folder: Path) -> Path:
    """Install examples/pgolf-slurm with pip, once per session, and return the folder."""
    target = session_folder / "plugin"
    with FileLock(f"{target}.lock"):
        if not target.exists():
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check"]
            ended = subprocess.run([*command, "--target", target, PLUGIN], capture_output=True, text=True, check=False)
            if ended.returncode:
                pytest.skip(f"the plugin cannot be installed here: {ended.stderr.strip().splitlines()[-1:]}")
    return target
