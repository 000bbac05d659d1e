"""Further quantizers beside the exported one, and protocols that leave out a tail."""

import json
from pathlib import Path

import numpy as np
import pytest

from pgolf.rundir import RunDirectory
from tests.conftest import Pgolf

COARSE = "{quantizer: {kind: rtn, bits: {default: 3}, clip: {kind: deviations, k: {default: 3.0}}, float_up_to: 0}}"
FINE = "{quantizer: {kind: rtn, bits: {default: 8}, clip: {kind: percentile, percentile: 100}, float_up_to: 0}}"


@pytest.fixture
def parent(micro_run: RunDirectory) -> tuple[str, ...]:
    """Arguments that quantize and score the weights of a finished run again."""
    return ("run", "--from-checkpoint", str(micro_run.root), "--json")


def test_references_are_scored_by_name_and_are_never_the_headline(pgolf: Pgolf, parent: tuple[str, ...]) -> None:
    references = f"recipe.evaluation.references={{coarse: {COARSE}, fine: {FINE}}}"
    ended = pgolf(*parent, "--set", references)
    assert ended.code == 0, ended.err
    (run,) = ended.json["runs"]
    metrics = {metric.get("quantizer", metric["stage"]): metric for metric in run["result"]["metrics"]}
    assert list(metrics) == ["prequant", "roundtrip", "coarse", "fine"]
    assert run["result"]["headline"]["val_loss"] == metrics["roundtrip"]["val_loss"]
    assert abs(metrics["fine"]["val_loss"] - metrics["prequant"]["val_loss"]) < 1e-2
    assert metrics["coarse"]["val_loss"] != metrics["roundtrip"]["val_loss"]
    assert sorted(path.name for path in (Path(run["run_dir"]) / "references").iterdir()) == ["coarse.bin", "fine.bin"]


@pytest.mark.slow
def test_a_dropped_tail_is_said_and_counted(pgolf: Pgolf, micro_run: RunDirectory, parent: tuple[str, ...]) -> None:
    ended = pgolf(*parent, "--set", "recipe.evaluation={kind: chunked, window: 256, tail: drop}")
    assert ended.code == 0, ended.err
    (run,) = ended.json["runs"]
    whole, metric = micro_run.read_result()["metrics"][-1], run["result"]["metrics"][-1]
    assert metric["tail"] == "drop"
    assert metric["tokens"] == whole["tokens"] // 256 * 256 < whole["tokens"]
    ledger, all_of_it = np.load(Path(run["run_dir"]) / "ledger.npz"), np.load(micro_run.files.ledger)
    assert metric["bytes"] == int(all_of_it["bytes"][: metric["tokens"]].sum(dtype=np.int64))
    assert np.array_equal(ledger["nll"], all_of_it["nll"][: metric["tokens"]])


@pytest.mark.slow
def test_a_temperature_stands_in_the_metric(pgolf: Pgolf, parent: tuple[str, ...]) -> None:
    ended = pgolf(*parent, "--set", "recipe.evaluation.temperature=2.0")
    assert ended.code == 0, ended.err
    (metric,) = [m for m in ended.json["runs"][0]["result"]["metrics"] if m["stage"] == "roundtrip"]
    assert metric["temperature"] == 2.0
    assert json.loads(ended.out)["runs"][0]["result"]["headline"]["val_loss"] == metric["val_loss"]


def test_a_name_that_is_no_file_name_is_refused(pgolf: Pgolf, parent: tuple[str, ...]) -> None:
    ended = pgolf(*parent, "--set", f'recipe.evaluation.references={{"../x": {FINE}}}')
    assert ended.code == 2
    assert "is not a valid name of a reference" in ended.err
