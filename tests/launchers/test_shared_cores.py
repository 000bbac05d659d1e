"""A second trainer on the same cores is reported."""

import os
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from launchers.local import LocalLauncher
from pgolf.launching import Job
from pgolf.rundir import RunDirectory

# Looks like a trainer to whoever reads /proc: `python -m trainer RUN_DIR`.
SLEEPER = "import time\nprint('started', flush=True)\ntime.sleep(60)\n"


@pytest.fixture
def job(tmp_path: Path) -> Job:
    run = RunDirectory(tmp_path / "mine-11111111" / "seed-1")
    return Job(run=run, gpu=None, processes=1, options={}, is_detached=False)


def warnings_about(job: Job, other: Path) -> list[str]:
    found = [finding.message for finding in LocalLauncher().check(job) if finding.rule == "shared_cores"]
    return [message for message in found if f"{other.parent.name}/{other.name}" in message]


@pytest.mark.real_process
def test_a_trainer_on_the_same_cores_is_named_while_it_runs(job: Job, tmp_path: Path) -> None:
    package, other = tmp_path / "fake" / "trainer", tmp_path / "theirs-22222222" / "seed-2"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(SLEEPER)
    command = [sys.executable, "-m", "trainer", str(other)]
    with subprocess.Popen(command, cwd=package.parent, stdout=subprocess.PIPE) as process, ExitStack() as at_the_end:
        at_the_end.callback(process.kill)
        assert process.stdout is not None
        process.stdout.readline()
        assert len(warnings_about(job, other)) == 1
        assert warnings_about(replace(job, run=RunDirectory(other)), other) == []
        assert warnings_about(replace(job, gpu="H100"), other) == []
        other_cores = set(range(os.cpu_count() or 1)) - os.sched_getaffinity(0)
        if other_cores:  # a worker of the test suite is held on one core
            os.sched_setaffinity(process.pid, other_cores | os.sched_getaffinity(0))
            assert len(warnings_about(job, other)) == 1
            os.sched_setaffinity(process.pid, other_cores)
            assert warnings_about(job, other) == []
    assert warnings_about(job, other) == []
