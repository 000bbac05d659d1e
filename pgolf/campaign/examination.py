"""The whole preflight of a spec: what pgolf knows of it, what its launcher knows, and on request measured steps."""

from collections.abc import Callable
from pathlib import Path

from pgolf.campaign.dispatch import with_launcher_findings
from pgolf.campaign.stopwatch import time_steps
from pgolf.errors import LauncherError, UsageError
from pgolf.findings import Finding
from pgolf.launching import load_launcher
from pgolf.preflight.examine import examine
from pgolf.preflight.preflight import Preflight
from pgolf.specs.experiment import Experiment


def examine_on_launcher(
    spec: Experiment, runs_dir: Path, is_calibrated: bool, on_progress: Callable[[str], None]
) -> Preflight:
    """Return the preflight of a spec with its launcher's findings.

    Args:
        is_calibrated: whether training steps are timed on this machine instead of assumed.

    Raises:
        UsageError: steps of a script are to be timed.
        RunFailed: the timed steps failed.
    """
    found = examine(spec, runs_dir=runs_dir, on_progress=on_progress)
    if is_calibrated and spec.is_script:
        raise UsageError(f"--calibrate times steps of a recipe, but {spec.name} runs a script")
    if is_calibrated and found.located is not None:
        found = examine(spec, runs_dir=runs_dir, step_seconds=time_steps(found), on_progress=on_progress)
    try:
        return with_launcher_findings(found, load_launcher(spec.launch.on), runs_dir, runs=1)
    except LauncherError as error:
        return found.with_findings(Finding("fail", "launcher", str(error), "`pgolf launchers` lists those installed"))
