"""The whole preflight of a spec."""

import json
from pathlib import Path

import pytest

from pgolf.preflight.examine import examine
from pgolf.rundir import RunDirectory
from pgolf.specs.loading import load_spec
from tests.pgolf.data.builders import prepared, sentences

CONTRACT = {
    "spec", "spec_sha256", "parameters", "artifact", "duration", "epochs", "memory_bytes", "cost_usd", "checks",
}  # fmt: skip


def test_preflight_and_run_agree_on_identity_code_and_parameters(micro_run: RunDirectory, tmp_path: Path) -> None:
    found = examine(load_spec("quickstart", ["micro"]).spec, runs_dir=tmp_path)
    result = micro_run.read_result()
    assert found.identity == result["spec_sha256"]
    assert found.code_sha256 == result["code_sha256"]
    assert found.code_bytes == result["artifact"]["code_bytes"]
    assert sum(found.groups.values()) == result["parameters"]
    assert found.epochs == pytest.approx(result["epochs"])


def test_a_real_artifact_is_within_the_predicted_interval(micro_run: RunDirectory, tmp_path: Path) -> None:
    found = examine(load_spec("quickstart", ["micro"]).spec, runs_dir=tmp_path).as_json()["artifact"]
    model = found["model_bytes"]
    assert model["low"] <= micro_run.read_result()["artifact"]["model_bytes"] <= model["high"]
    assert found["total_bytes"] == {key: value + found["code_bytes"] for key, value in model.items()}


def test_the_baseline_is_examined_without_its_data(tmp_path: Path) -> None:
    found = examine(load_spec("baseline").spec, runs_dir=tmp_path)
    document = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert set(document) >= CONTRACT
    assert document["spec_sha256"] is None
    assert document["parameters"]["total"] == 17_059_912
    assert "data" in {finding.rule for finding in found.failures}
    assert {"status", "rule", "message", "fix"} == set(document["checks"][0])
    # The public run of this very model: 15,863,489 bytes with 47,642 bytes of code.
    assert document["artifact"]["model_bytes"]["low"] <= 15_815_847 <= document["artifact"]["model_bytes"]["high"]


def test_the_vocabulary_comes_from_the_manifest(tmp_path: Path) -> None:
    manifest = prepared(tmp_path / "data", sentences(80))
    slot = f"recipe.data={{kind: shards, folder: {tmp_path / 'data'}}}"
    found = examine(
        load_spec("quickstart", [], [slot, "recipe.budget.train=600", "recipe.schedule.batch_tokens=2048"]).spec,
        runs_dir=tmp_path,
    )
    assert found.spec.recipe.vocabulary_size == 300
    assert found.identity is not None
    assert found.as_json()["data_sha256"] == manifest.sha256
    assert found.epochs == 600 * 2048 / manifest.train.tokens


def test_a_vocabulary_that_differs_from_the_data_fails_the_data_check(tmp_path: Path) -> None:
    prepared(tmp_path / "data", sentences(80))
    slot = f"recipe.data={{kind: shards, folder: {tmp_path / 'data'}, vocabulary_size: 512}}"
    found = examine(load_spec("quickstart", [], [slot]).spec, runs_dir=tmp_path)
    assert [finding.rule for finding in found.failures] == ["data"]
    assert "300" in found.failures[0].message


def test_an_unknown_vocabulary_fails_and_json_is_still_complete(tmp_path: Path) -> None:
    slot = f"recipe.data={{kind: shards, folder: {tmp_path / 'gone'}}}"
    found = examine(load_spec("quickstart", [], [slot]).spec, runs_dir=tmp_path)
    assert {finding.rule for finding in found.failures} == {"data", "vocabulary"}
    assert json.loads(json.dumps(found.as_json()))["parameters"] is None


def test_the_vocabulary_is_known_from_a_published_folder_name(tmp_path: Path) -> None:
    slot = "recipe.data={kind: shards, folder: /nowhere/fineweb10B_sp8192}"
    found = examine(load_spec("quickstart", [], [slot]).spec, runs_dir=tmp_path)
    assert found.spec.recipe.vocabulary_size == 8192


def test_an_artifact_over_the_limit_fails(tmp_path: Path) -> None:
    spec = load_spec("quickstart", ["micro"], ["recipe.model.width=2048"]).spec
    found = examine(spec, runs_dir=tmp_path)
    assert "artifact_size" in {finding.rule for finding in found.failures}
