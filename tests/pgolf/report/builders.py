"""Builders of run directories with made-up results."""

import json
from pathlib import Path
from typing import Any

from pgolf.rundir import RunDirectory

LIMIT = 16_000_000


def result_of(seed: int, val_bpb: float, **changes: Any) -> dict[str, Any]:
    """Return a result.json whose numbers are all different."""
    return {
        "run_id": f"exp-aaaaaaaa/seed-{seed}",
        "name": "exp",
        "seed": seed,
        "spec_sha256": "a" * 64,
        "code_sha256": "c" * 64,
        "data_sha256": "d" * 64,
        "headline": {"stage": "roundtrip", "protocol": "sliding", "val_bpb": val_bpb, "val_loss": 2 * val_bpb + 0.01},
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
    } | changes


def write_run(root: Path, result: dict[str, Any] | None, **run: Any) -> RunDirectory:
    """Write a run directory; without a result it is unfinished."""
    root.mkdir(parents=True)
    identity = {key: result_of(0, 0)[key] for key in ("name", "spec_sha256", "code_sha256", "data_sha256")}
    (root / "run.json").write_text(json.dumps(identity | run))
    (root / "spec.json").write_text("{}")
    if result is not None:
        (root / "result.json").write_text(json.dumps(result))
    return RunDirectory(root)


def write_seeds(runs: Path, scores: dict[int, float], **changes: Any) -> list[RunDirectory]:
    """Write finished runs of one experiment."""
    folder = runs / "exp-aaaaaaaa"
    return [write_run(folder / f"seed-{seed}", result_of(seed, bpb, **changes)) for seed, bpb in scores.items()]
