"""Predictions for a script from its earlier runs: time, and bytes by the printed hyperparameters."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from pgolf.preflight.public_runs import estimate_public_run
from pgolf.preflight.script import described, is_same
from pgolf.records.logs import runs_in
from tests.conftest import SHARED_DATA
from tests.scripts.workshop import Workshop

RECORD = SHARED_DATA.parent / "records" / "1493-sp8192-3layer-recur" / "train_seed314.log"


@pytest.fixture
def printed() -> dict[str, Any]:
    """Return a result of a published script, with the values that its public log prints."""
    if not RECORD.exists():
        pytest.skip(f"public records are not at {RECORD.parent.parent}")
    (run,), _, _ = runs_in(RECORD, RECORD.parent)
    return {"settings": run.settings, "parameters": run.parameters, "packed_bytes": run.packed_bytes}


def test_printed_hyperparameters_predict_the_bytes_in_the_log(printed: dict[str, Any]) -> None:
    description = described(printed, {})
    assert description is not None
    estimate = estimate_public_run(description)
    assert estimate.low <= printed["packed_bytes"] <= estimate.high
    assert estimate.estimate == pytest.approx(printed["packed_bytes"], rel=0.005)


def test_another_clip_changes_the_bytes_and_another_shape_has_no_estimate(printed: dict[str, Any]) -> None:
    wider = described(printed, {"MATRIX_CLIP_SIGMAS": "14.5"})
    same = described(printed, {})
    assert wider is not None
    assert same is not None
    assert estimate_public_run(wider).estimate < estimate_public_run(same).estimate
    assert described(printed, {"NUM_LAYERS": "12"}) is None
    assert described(printed, {"NUM_LAYERS": printed["settings"]["num_layers"]}) is not None
    assert described({"settings": {}, "parameters": 5}, {}) is None


def test_is_same_compares_numbers_by_value() -> None:
    assert is_same("1e-3", "0.001")
    assert not is_same("relu", "gelu")


def test_finished_runs_predict_time_and_bytes_of_the_same_spec(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path / "own")
    result = workshop.run().read_result()
    found = workshop("preflight", "spec.yaml", "--json").json
    assert found["duration"]["train_seconds"] == result["clock"]["run_seconds"]
    assert found["artifact"]["model_bytes"]["estimate"] == result["artifact"]["model_bytes"]
    assert found["artifact"]["model_bytes"]["low"] < result["artifact"]["model_bytes"]
    other = workshop("preflight", "spec.yaml", "--set", "program.env.MATRIX_LR=0.9", "--json").json
    assert other["duration"]["basis"].startswith("MAX_WALLCLOCK_SECONDS")
    assert other["artifact"]["model_bytes"] is None


def test_audit_counts_the_files_that_a_script_left(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path / "own")
    run = workshop.run()
    verdicts = {each["rule"]: each for each in workshop("audit", run.run_id, "--json").json["findings"]}
    assert verdicts["SIZE-CAP"]["status"] == "pass"
    assert verdicts["BPB-IDENTITY"]["status"] == "unknown"
    (model,) = run.files.artifact.glob("*.ptz")
    model.write_bytes(bytes(16_000_001))
    ended = workshop("audit", run.run_id)
    assert ended.code == 3
    assert "SIZE-CAP" in ended.err
    model.write_bytes(b"x")
    shutil.rmtree(run.files.local)
    verdicts = {each["rule"]: each for each in workshop("audit", run.run_id, "--json").json["findings"]}
    assert verdicts["SIZE-CAP"]["status"] == "unknown"
