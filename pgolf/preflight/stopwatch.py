"""Real steps of a spec, timed by the trainer in a throw-away run directory (`--calibrate`)."""

import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from pgolf.bundle.own_code import local_files
from pgolf.errors import RunFailed
from pgolf.preflight.examine import Preflight
from pgolf.preflight.prepared import run_documents
from pgolf.rundir import RunDirectory, read_or_empty
from pgolf.specs.experiment import Stop

TIMED_STEPS = 5


def time_steps(preflight: Preflight) -> float:
    """Median seconds of a training step here.

    Raises: RunFailed with the trainer's last words when it fails.
    """
    with tempfile.TemporaryDirectory(prefix="pgolf-calibrate-") as folder:
        run = RunDirectory(Path(folder) / preflight.spec.name / "seed-0")
        unruled = replace(preflight, spec=preflight.spec.model_copy(update={"stop": Stop()}))
        spec, document = run_documents(unruled, run, seed=0, origin={})
        run.create(spec, document, preflight.as_json(), local_files(preflight.spec.recipe))
        command = [sys.executable, "-P", "-m", "trainer", str(run.root), "--time-steps", str(TIMED_STEPS)]
        command += ["--processes", str(preflight.spec.launch.world_size)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if ended.returncode:
            raise RunFailed(f"--calibrate: {ended.stderr.strip().splitlines()[-1:] or ended.returncode}")
        return float(read_or_empty(run.root / "timing.json")["step_seconds"])
