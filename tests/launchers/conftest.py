"""The places of the conformance suite."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.launchers.places import LocalPlace, Place, sshd


@pytest.fixture(params=["local", "ssh"])
def place(request: pytest.FixtureRequest, tmp_path: Path, bare_python: Path) -> Iterator[Place]:
    """Each place where a job can run; one whose tools are not installed is skipped by its name."""
    match request.param:
        case "local":
            yield LocalPlace()
        case "ssh":
            with sshd(tmp_path / "ssh", bare_python) as found:
                yield found
