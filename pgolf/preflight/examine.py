"""From an experiment to its preflight."""

from collections.abc import Callable
from pathlib import Path

from pgolf.data.prepare import ignore_progress
from pgolf.preflight.preflight import Preflight
from pgolf.specs.experiment import Experiment
from pgolf.specs.script import Script


def examine(
    spec: Experiment,
    *,
    runs_dir: Path,
    runs: int = 1,
    step_seconds: float | None = None,
    on_progress: Callable[[str], None] = ignore_progress,
) -> Preflight:
    """Return the preflight of an experiment for a number of runs. Starts no torch; findings never raise.

    Args:
        runs_dir: Finished runs here correct the estimates of bytes and seconds.
        step_seconds: Measured seconds a step of a recipe, in place of an estimate.
    """
    # Each builder imports what the other does not need.
    if isinstance(spec.work, Script):
        from pgolf.preflight.script import examine_script

        return examine_script(spec, runs_dir=runs_dir, runs=runs)
    from pgolf.preflight.recipe import examine_recipe

    return examine_recipe(spec, runs_dir=runs_dir, runs=runs, step_seconds=step_seconds, on_progress=on_progress)
