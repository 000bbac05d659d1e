"""Byte estimates corrected by finished runs."""

import json
from pathlib import Path
from typing import Any

import pytest

from pgolf.preflight.byte_estimate import ByteEstimate
from pgolf.preflight.correction import correct_estimate
from pgolf.preflight.size import estimate_model_bytes
from pgolf.specs.experiment import recipe_json
from pgolf.specs.loading import load_spec
from tests.pgolf.report.builders import result_of, write_run
from trainer.recipe.recipe import Recipe


def recipe_of(*assignments: str) -> Recipe:
    return load_spec("quickstart", [], list(assignments)).spec.recipe


def write_finished(runs: Path, seed: int, recipe: Recipe, times: float, **artifact: Any) -> None:
    result = result_of(seed, 1.2)
    result["artifact"] |= {"model_bytes": round(times * estimate_model_bytes(recipe).estimate)} | artifact
    run = write_run(runs / "exp-aaaaaaaa" / f"seed-{seed}", result)
    run.files.spec.write_text(json.dumps({"recipe": recipe_json(recipe)}))


def plain_and_corrected(runs: Path, recipe: Recipe) -> tuple[ByteEstimate, ByteEstimate]:
    plain = estimate_model_bytes(recipe)
    return plain, correct_estimate(plain, recipe, runs)


def test_without_finished_runs_the_estimate_is_unchanged(tmp_path: Path) -> None:
    plain, found = plain_and_corrected(tmp_path, recipe_of())
    assert plain == found


def test_seeds_of_the_same_spec_give_their_mean_and_a_narrow_interval(tmp_path: Path) -> None:
    for seed, times in ((1, 0.90), (2, 0.902)):
        write_finished(tmp_path, seed, recipe_of(), times)
    plain, found = plain_and_corrected(tmp_path, recipe_of())
    assert found.estimate == pytest.approx(0.901 * plain.estimate, abs=1)
    assert (found.high - found.estimate) / found.estimate == pytest.approx(0.005, abs=1e-5)
    assert "2 finished runs here took 0.901 times" in found.basis


def test_other_clips_get_the_same_correction_with_a_wider_interval(tmp_path: Path) -> None:
    write_finished(tmp_path, 1, recipe_of(), 0.9)
    plain, found = plain_and_corrected(tmp_path, recipe_of("recipe.quantizer.clip.k={default: 20}"))
    assert found.estimate == pytest.approx(0.9 * plain.estimate, abs=1)
    assert (found.high - found.estimate) / found.estimate == pytest.approx(0.015, abs=1e-5)


def test_other_bits_widen_the_interval_by_the_size_of_the_correction(tmp_path: Path) -> None:
    write_finished(tmp_path, 1, recipe_of(), 0.9)
    _, found = plain_and_corrected(tmp_path, recipe_of("recipe.quantizer.bits={default: 4}"))
    assert (found.high - found.estimate) / found.estimate == pytest.approx(0.1, abs=1e-4)


@pytest.mark.parametrize(
    "assignment", ["recipe.model.width=64", "recipe.codec={kind: zlib}", "recipe.optimizer.weight_decay=0.3"]
)
def test_runs_with_other_weights_or_codecs_are_ignored(tmp_path: Path, assignment: str) -> None:
    write_finished(tmp_path, 1, recipe_of(), 0.9)
    plain, found = plain_and_corrected(tmp_path, recipe_of(assignment))
    assert plain == found


def test_repacked_and_unreadable_runs_are_ignored(tmp_path: Path) -> None:
    write_finished(tmp_path, 1, recipe_of(), 0.5, repacked={"clip_times": 2, "bytes_before": 17_000_000})
    write_finished(tmp_path, 2, recipe_of(), 0.9)
    (tmp_path / "exp-aaaaaaaa" / "seed-3").mkdir()
    for name in ("run", "spec", "result"):
        (tmp_path / "exp-aaaaaaaa" / "seed-3" / f"{name}.json").write_text('{"recipe": 3')
    plain, found = plain_and_corrected(tmp_path, recipe_of())
    assert found.estimate == pytest.approx(0.9 * plain.estimate, abs=1)
