"""One trainer at a time in a run directory."""

import subprocess
import sys
from pathlib import Path

import pytest

from pgolf.rundir import RunDirectory
from trainer.recipe.files import RunFiles
from trainer.runtime.failure import AlreadyRunning
from trainer.runtime.lock import exclusive_lock

HOLDER = """
import sys
from pathlib import Path
from trainer.runtime.lock import exclusive_lock
with exclusive_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_trainer_is_refused_until_the_first_is_killed(tmp_path: Path) -> None:
    lock = RunFiles(tmp_path).lock
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert RunDirectory(tmp_path).is_alive
        with pytest.raises(AlreadyRunning), exclusive_lock(lock):
            pass
        holder.kill()
        holder.wait()
    assert not RunDirectory(tmp_path).is_alive
    with exclusive_lock(lock):
        pass
