"""The places of the conformance suite."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.launchers.places import LocalPlace, Place, modal_server, sshd


@pytest.fixture(params=["local", "ssh", "modal"])
def place(
    request: pytest.FixtureRequest, tmp_path: Path, bare_python: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    """Each place where a job can run; one whose tools are not installed is skipped by its name."""
    match request.param:
        case "local":
            yield LocalPlace()
        case "ssh":
            with sshd(tmp_path / "ssh", bare_python) as found:
                yield found
        case "modal":
            with modal_server(tmp_path / "modal", bare_python, monkeypatch) as cloud:
                yield cloud
