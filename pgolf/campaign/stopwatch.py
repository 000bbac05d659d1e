"""Time real training steps in a throw-away run directory (`pgolf preflight --calibrate`)."""

import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from pgolf.campaign.run_documents import run_documents
from pgolf.errors import RunFailed
from pgolf.preflight.preflight import Preflight
from pgolf.run_reading import read_or_empty
from pgolf.rundir import RunDirectory
from pgolf.specs.parts import Stop

TIMED_STEPS = 5


def time_steps(preflight: Preflight) -> float:
    """Return the median seconds of a training step on this machine.

    Raises:
        RunFailed: the trainer failed; quotes the last line of its output.
    """
    with tempfile.TemporaryDirectory(prefix="pgolf-calibrate-") as folder:
        run = RunDirectory(Path(folder) / preflight.spec.name / "seed-0")
        without_stop_rule = replace(preflight, spec=preflight.spec.model_copy(update={"stop": Stop()}))
        spec, document = run_documents(without_stop_rule, run, seed=0, sources={})
        run.create(spec, document, preflight.as_json(), preflight.own_files)
        command = [sys.executable, "-P", "-m", "trainer", str(run.root), "--time-steps", str(TIMED_STEPS)]
        command += ["--processes", str(preflight.spec.processes)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if ended.returncode:
            last = ended.stderr.strip().splitlines()[-1:] or [f"the trainer ended with code {ended.returncode}"]
            raise RunFailed(f"--calibrate: {last[0]}")
        return float(read_or_empty(run.root / "timing.json")["step_seconds"])
