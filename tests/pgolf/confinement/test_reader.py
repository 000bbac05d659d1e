"""A process that confines itself: it reads what is named, and can neither change, send nor start anything."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pgolf.confinement.landlock import landlock_version
from pgolf.confinement.run import PACKAGE

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not landlock_version(), reason="needs Linux with Landlock"
)  # fmt: skip
READER = """
import os, socket, subprocess, sys
from pathlib import Path
from pgolf.confinement import reader
named, other, version = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
if version:
    reader.landlock_version = lambda: version
reader.confine_reader([named], memory_bytes=1 << 30, seconds=10)
import ast, json
print(named.joinpath("code.py").read_text())
for number, attempt in enumerate((
    lambda: other.read_text(), lambda: named.joinpath("new").write_text("x"), lambda: Path("/tmp/new").write_text("x"),
    lambda: socket.socket(), lambda: subprocess.run(["/bin/true"]), lambda: os.kill(os.getppid(), 0),
    lambda: bytearray(2 << 30), lambda: named.joinpath("code.py").unlink(), lambda: named.chmod(0o777),
    lambda: os.open(named / "code.py", os.O_RDONLY | os.O_TRUNC), lambda: os.open(other, os.O_ACCMODE | os.O_TRUNC),
)):
    try:
        attempt()
    except (OSError, MemoryError):
        continue
    print("reached", number)
"""


@pytest.mark.parametrize("version", [None, 1, 2])
def test_a_reader_reads_only_what_is_named(version: int | None, tmp_path: Path) -> None:
    """With this kernel's Landlock, and with the rights that its first versions knew."""
    named, other = tmp_path / "named", tmp_path / "other"
    named.mkdir()
    (named / "code.py").write_text("code")
    other.write_text("other")
    ended = subprocess.run(
        [sys.executable, "-c", READER, str(named), str(other), str(version or 0)],
        env=os.environ | {"PYTHONPATH": str(PACKAGE.parents[1])}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ended.stdout, ended.stderr) == ("code\n", "")
    assert ended.returncode == 0
    assert (named / "code.py").read_text() == "code"
    assert other.read_text() == "other"
