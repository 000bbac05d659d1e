"""Builders of run directories with made-up results."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pgolf.rundir import RunDirectory
from tests.pgolf.documents import HASHES, run_json

LIMIT = 16_000_000
COUNTED = {"tokens": 1000, "bytes": 2000, "seconds": 90.25}


def result_of(seed: int, val_bpb: float, **changes: Any) -> dict[str, Any]:
    """Return a result.json whose numbers are all different."""
    score = {"stage": "roundtrip", "protocol": "sliding", "val_bpb": val_bpb, "val_loss": 2 * val_bpb + 0.01}
    score |= changes.get("headline", {})
    result = {
        "run_id": f"exp-aaaaaaaa/seed-{seed}",
        "name": "exp",
        "seed": seed,
        **HASHES,
        "ruleset": "parameter_golf-1",
        "deterministic": True,
        "headline": score,
        "parameters": 31_000,
        "artifact": {
            "model_bytes": 15_000_000 + seed,
            "code_bytes": 50_000,
            "total_bytes": 15_050_000 + seed,
            "limit_bytes": LIMIT,
        },
        "clock": {"train_seconds": 580.25 + seed, "evaluate_seconds": 90.5},
        "steps": 13_780 + seed,
        "resumed_from_step": 0,
        "environment": {"device": "cpu"},
    }
    return result | changes | {"metrics": [COUNTED | metric for metric in changes.get("metrics", [score])]}


def script_result_of(seed: int, val_bpb: float, **changes: Any) -> dict[str, Any]:
    """Return a result.json of a script's run."""
    result = result_of(seed, val_bpb, source="script", hardware={"devices": []}, **changes)
    result["artifact"] |= {"basis": "files", "files": {"model.ptz": 1}, "logged_total_bytes": None}
    result["headline"] |= {"label": "final", "line": 9}
    result["clock"] |= {"run_seconds": 700.0}
    return result


def write_run(root: Path, result: dict[str, Any] | None, **run: Any) -> RunDirectory:
    """Write a run directory; without a result it is unfinished."""
    root.mkdir(parents=True)
    (root / "run.json").write_text(json.dumps(run_json(**run)))
    (root / "spec.json").write_text("{}")
    if result is not None:
        (root / "result.json").write_text(json.dumps(result))
    return RunDirectory(root)


def write_seeds(runs: Path, scores: dict[int, float], **changes: Any) -> list[RunDirectory]:
    """Write finished runs of one experiment."""
    folder = runs / "exp-aaaaaaaa"
    return [write_run(folder / f"seed-{seed}", result_of(seed, bpb, **changes)) for seed, bpb in scores.items()]


def write_points(runs: Path, points: list[dict[str, Any]], seeds: tuple[int, ...] = (1, 2, 3)) -> None:
    """Write finished runs of one name, three seeds for each point, with scores that follow no pattern."""
    chance = np.random.default_rng(5)
    for number, point in enumerate(points):
        sha256 = f"{number:064x}"
        for seed in seeds:
            result = result_of(seed, float(chance.normal(1.2, 0.01)), spec_sha256=sha256)
            run = write_run(runs / f"exp-{number:08x}" / f"seed-{seed}", result, spec_sha256=sha256)
            recipe: dict[str, Any] = {"fixed": 1}
            for key, value in point.items():
                below = recipe
                *parts, last = key.split(".")[1:]
                for part in parts:
                    below = below.setdefault(part, {})
                below[last] = value
            run.files.spec.write_text(json.dumps({"recipe": recipe}))


def write_sweep(runs: Path, key: str, values: Sequence[Any]) -> list[RunDirectory]:
    """Write one finished run of each value of a key; the first score is the lowest."""
    part, _, rest = key.partition(".")
    found = []
    for number, value in enumerate(values):
        result = result_of(1, round(1.2 + number / 1000, 3), spec_sha256=f"{number}" * 64)
        found.append(write_run(runs / f"exp-{number:08}" / "seed-1", result))
        found[-1].files.spec.write_text(json.dumps({part: {rest: value}}))
    return found


def write_metrics(run: RunDirectory, points: list[tuple[int, float]]) -> None:
    """Write the training loss at some steps."""
    rows = [{"step": at, "elapsed_seconds": at, "tokens": at, "train_loss": loss} for at, loss in points]
    run.files.metrics.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
