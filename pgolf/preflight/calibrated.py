"""Byte estimates corrected by what finished runs on this machine really took."""

from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from pgolf.preflight.byte_estimate import ByteEstimate, between
from pgolf.preflight.size import estimate_model_bytes
from pgolf.rundir import find_runs, read_or_empty
from pgolf.specs.experiment import recipe_json
from trainer.recipe.decode import RecipeRefused, decode_recipe
from trainer.recipe.recipe import Recipe

# What weights depend on: other slots say what becomes of them.
TRAINED = ("data", "model", "optimizer", "schedule", "averaging", "budget", "compute")
# Half widths: seeds of one spec differ by less; other clips on weights of the same kind, by somewhat more. Under other
# bits the correction itself is uncertain: 4 bits in place of 6 took 3.6 % less than it said (docs/log/2026-11-21.md).
SAME_GRID, OTHER_GRID = 0.005, 0.015


@dataclass(frozen=True, slots=True)
class Correction:
    """How finished runs differed from what was predicted of them."""

    times: float
    half: float
    """Half width of the interval, as a share."""
    runs: int

    def of(self, estimate: ByteEstimate, limit: int = 0) -> ByteEstimate:
        """A corrected estimate, cut at a limit to which codes are pruned; 0 is none."""
        total = estimate.estimate * self.times
        basis = f"{self.runs} finished runs here took {self.times:.3f} times what was predicted"
        return between(min(total, limit) if limit else total, self.half, self.half, basis)


def calibrated(estimate: ByteEstimate, recipe: Recipe, runs_dir: Path) -> ByteEstimate:
    """The estimate times what finished runs with such weights took in place of theirs; itself where there are none."""
    correction = correction_from(recipe, runs_dir)
    return estimate if correction is None else correction.of(estimate, recipe.quantizer.fit_bytes)


def correction_from(recipe: Recipe, runs_dir: Path) -> Correction | None:
    """What finished runs with such weights say; None where there are none."""
    wanted = recipe_json(recipe)
    ratios, is_same_grid, has_same_bits = [], True, True
    for run in find_runs(runs_dir):
        found = read_or_empty(run.files.spec).get("recipe", {})
        artifact = read_or_empty(run.files.result).get("artifact")
        if artifact and "repacked" not in artifact and has_such_weights(found, wanted):
            try:
                predicted = estimate_model_bytes(decode_recipe(found)).estimate
            except RecipeRefused:
                continue
            ratios.append(artifact["model_bytes"] / predicted)
            is_same_grid &= found["quantizer"] == wanted["quantizer"]
            has_same_bits &= found["quantizer"]["bits"] == wanted["quantizer"]["bits"]
    if not ratios:
        return None
    mean = fmean(ratios)
    half = max(SAME_GRID if is_same_grid else OTHER_GRID, 2 * (max(ratios) - min(ratios)) / mean)
    half = half if has_same_bits else max(half, abs(1 - mean))
    return Correction(mean, half, len(ratios))


def has_such_weights(recipe: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether a recipe trains the same weights, but for the seed, and packs them with the same codec."""
    slots = (*TRAINED, "codec")
    same_training = recipe.get("quantizer", {}).get("training") == wanted["quantizer"].get("training")
    return same_training and all(recipe.get(slot) == wanted[slot] for slot in slots)
