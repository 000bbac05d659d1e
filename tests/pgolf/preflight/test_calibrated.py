"""Estimates corrected by finished runs."""

import json
from pathlib import Path
from typing import Any

import pytest

from pgolf.preflight.byte_estimate import ByteEstimate
from pgolf.preflight.calibrated import calibrated
from pgolf.preflight.size import estimate_model_bytes
from pgolf.specs.experiment import recipe_json
from pgolf.specs.loading import load_spec
from trainer.recipe.recipe import Recipe


def recipe_of(*assignments: str) -> Recipe:
    return load_spec("quickstart", [], list(assignments)).spec.recipe


def finished(runs: Path, seed: int, recipe: Recipe, times: float, **artifact: Any) -> None:
    root = runs / "exp-aaaaaaaa" / f"seed-{seed}"
    root.mkdir(parents=True)
    (root / "run.json").write_text("{}")
    (root / "spec.json").write_text(json.dumps({"recipe": recipe_json(recipe)}))
    model_bytes = times * estimate_model_bytes(recipe).estimate
    (root / "result.json").write_text(json.dumps({"artifact": {"model_bytes": model_bytes} | artifact}))


def corrected(runs: Path, recipe: Recipe) -> tuple[ByteEstimate, ByteEstimate]:
    plain = estimate_model_bytes(recipe)
    return plain, calibrated(plain, recipe, runs)


def test_without_finished_runs_nothing_changes(tmp_path: Path) -> None:
    plain, found = corrected(tmp_path, recipe_of())
    assert plain == found


def test_seeds_of_the_same_spec_give_their_mean_and_a_narrow_interval(tmp_path: Path) -> None:
    for seed, times in ((1, 0.90), (2, 0.902)):
        finished(tmp_path, seed, recipe_of(), times)
    plain, found = corrected(tmp_path, recipe_of())
    assert found.estimate == pytest.approx(0.901 * plain.estimate, abs=1)
    assert (found.high - found.estimate) / found.estimate == pytest.approx(0.005, abs=1e-5)
    assert "2 finished runs here took 0.901 times" in found.basis


def test_another_grid_on_such_weights_is_corrected_alike_with_a_wider_interval(tmp_path: Path) -> None:
    finished(tmp_path, 1, recipe_of(), 0.9)
    plain, found = corrected(tmp_path, recipe_of("recipe.quantizer.clip.k={default: 20}"))
    assert found.estimate == pytest.approx(0.9 * plain.estimate, abs=1)
    assert (found.high - found.estimate) / found.estimate == pytest.approx(0.015, abs=1e-5)


def test_other_bits_are_as_uncertain_as_the_correction_is_large(tmp_path: Path) -> None:
    finished(tmp_path, 1, recipe_of(), 0.9)
    _, found = corrected(tmp_path, recipe_of("recipe.quantizer.bits={default: 4}"))
    assert (found.high - found.estimate) / found.estimate == pytest.approx(0.1, abs=1e-4)


@pytest.mark.parametrize(
    "assignment", ["recipe.model.width=64", "recipe.codec={kind: zlib}", "recipe.optimizer.weight_decay=0.3"]
)
def test_other_weights_and_other_codecs_say_nothing(tmp_path: Path, assignment: str) -> None:
    finished(tmp_path, 1, recipe_of(), 0.9)
    plain, found = corrected(tmp_path, recipe_of(assignment))
    assert plain == found


def test_repacked_and_unreadable_runs_say_nothing(tmp_path: Path) -> None:
    finished(tmp_path, 1, recipe_of(), 0.5, repacked={"clip_times": 2})
    finished(tmp_path, 2, recipe_of(), 0.9)
    (tmp_path / "exp-aaaaaaaa" / "seed-3").mkdir()
    for name in ("run", "spec", "result"):
        (tmp_path / "exp-aaaaaaaa" / "seed-3" / f"{name}.json").write_text('{"recipe": 3')
    plain, found = corrected(tmp_path, recipe_of())
    assert found.estimate == pytest.approx(0.9 * plain.estimate, abs=1)
