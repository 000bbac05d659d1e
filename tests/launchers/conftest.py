"""The places of the conformance suite."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from tests.launchers.backends import Backend, LocalBackend, modal_server, one_node_slurm, sshd

PLUGIN = Path(__file__).parent.parent.parent / "examples" / "pgolf-slurm"


@pytest.fixture(params=["local", "ssh", "modal", "slurm"])
def backend(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    session_folder: Path,
    bare_python: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Backend]:
    """Each backend where a job can run; one whose tools are not installed is skipped by its name."""
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


def installed_plugin(session_folder: Path) -> Path:
    """A folder into which examples/pgolf-slurm has been installed, as a user would install it."""
    target = session_folder / "plugin"
    with FileLock(f"{target}.lock"):
        if not target.exists():
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check"]
            ended = subprocess.run([*command, "--target", target, PLUGIN], capture_output=True, text=True, check=False)
            if ended.returncode:
                pytest.skip(f"the plugin cannot be installed here: {ended.stderr.strip().splitlines()[-1:]}")
    return target
