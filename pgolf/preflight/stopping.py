"""What a run is told about its planned speed and its stop rule."""

from pathlib import Path
from typing import Any

from pgolf.errors import UsageError
from pgolf.findings import Finding
from pgolf.preflight.preflight import Preflight
from pgolf.rundir import find_run
from pgolf.specs.parts import Stop, WorseThan


def plan_json(known: Preflight) -> dict[str, Any] | None:
    """Return the measured seconds a step that the run compares itself with; None where nothing was measured."""
    if known.step_seconds is None or known.duration is None:
        return None
    return {"step_seconds": known.step_seconds, "basis": known.duration.basis}


def stop_json(stop: Stop, runs_dir: Path) -> dict[str, Any] | None:
    """Return the stop rule with the curve of the run that it names; None where there is no rule.

    Raises:
        UsageError: there is no such run, or it has no curve.
    """
    other = None if stop.worse_than is None else curve_of(stop.worse_than, runs_dir)
    if stop.slower_than is None and other is None:
        return None
    return {"slower_than": stop.slower_than, "worse_than": other}


def curve_of(worse_than: WorseThan, runs_dir: Path) -> dict[str, Any]:
    """Return tokens and training bits per byte of the run to compare with.

    Raises:
        UsageError: there is no such run, or it has no curve.
    """
    run = find_run(worse_than.run, runs_dir)
    curve = [[row["tokens"], row["train_bpb"]] for row in run.read_metrics() if {"tokens", "train_bpb"} <= {*row}]
    if not curve:
        raise UsageError(f"stop.worse_than.run: {run.run_id} has logged no tokens with bits per byte to compare with")
    return {"run": run.run_id, "by_bpb": worse_than.by_bpb, "curve": curve}


def stop_rule(known: Preflight, runs_dir: Path) -> Finding | None:
    """Return whether the stop rule can act; None where there is no rule."""
    spec = known.spec
    if spec.stop.worse_than is not None:
        try:
            curve_of(spec.stop.worse_than, runs_dir)
        except UsageError as error:
            return Finding("fail", "stop_rule", str(error), "`pgolf status` lists the runs here")
    if spec.stop.slower_than is not None and plan_json(known) is None:
        basis = known.duration.basis if known.duration else "no duration is known"
        message = f"stop.slower_than has no measured plan to compare with ({basis}) and will not act"
        fix = "finish a run of this spec on such a machine first, with a budget in steps or tokens"
        return Finding("warn", "stop_rule", message, fix)
    return None if spec.stop == Stop() else Finding("pass", "stop_rule", "the run ends itself when its rule applies")
