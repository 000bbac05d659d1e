"""What a run is told of its plan and of its stop rule."""

from pathlib import Path
from typing import Any

from pgolf.errors import UsageError
from pgolf.findings import Finding
from pgolf.preflight.examined import Examined
from pgolf.rundir import find_run
from pgolf.specs.experiment import Stop, WorseThan


def plan_json(known: Examined) -> dict[str, Any] | None:
    """Seconds a step as they were measured before, for the run to compare with; None where they were not."""
    if known.step_seconds is None or known.duration is None:
        return None
    return {"step_seconds": known.step_seconds, "basis": known.duration.basis}


def stop_json(stop: Stop, runs_dir: Path) -> dict[str, Any] | None:
    """The stop rule with the curve of the run that it names; None where there is no rule.

    Raises: UsageError when there is no such run, or it has no curve.
    """
    other = None if stop.worse_than is None else curve_of(stop.worse_than, runs_dir)
    if stop.slower_than is None and other is None:
        return None
    return {"slower_than": stop.slower_than, "worse_than": other}


def curve_of(worse_than: WorseThan, runs_dir: Path) -> dict[str, Any]:
    """Tokens and training bits per byte of a run."""
    run = find_run(worse_than.run, runs_dir)
    curve = [[row["tokens"], row["train_bpb"]] for row in run.read_metrics() if {"tokens", "train_bpb"} <= {*row}]
    if not curve:
        raise UsageError(f"stop.worse_than.run: {run.run_id} has logged no tokens with bits per byte to compare with")
    return {"run": run.run_id, "by_bpb": worse_than.by_bpb, "curve": curve}


def stop_rule(known: Examined, runs_dir: Path) -> Finding | None:
    """Whether the stop rule can work; None where there is none."""
    spec = known.spec
    if spec.stop.worse_than is not None:
        try:
            curve_of(spec.stop.worse_than, runs_dir)
        except UsageError as error:
            return Finding("fail", "stop_rule", str(error), "`pgolf status` lists the runs here")
    if spec.stop.slower_than is not None and plan_json(known) is None:
        basis = known.duration.basis if known.duration else "no duration is known"
        message = f"stop.slower_than has no measured plan to compare with ({basis}) and will not act"
        return Finding(
            "warn",
            "stop_rule",
            message,
            "finish a run of this spec on such a machine first, with a budget in steps or tokens",
        )
    return None if spec.stop == Stop() else Finding("pass", "stop_rule", "the run ends itself when its rule says so")
