"""Correction of byte estimates by the real sizes of finished runs on this machine."""

from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from pgolf.findings import counted
from pgolf.preflight.byte_estimate import ByteEstimate, with_margins
from pgolf.preflight.size import estimate_model_bytes
from pgolf.run_reading import read_or_empty
from pgolf.rundir import usable_results
from pgolf.specs.experiment import recipe_json
from trainer.recipe.decode import RecipeRefused, decode_recipe
from trainer.recipe.recipe import Recipe

# Slots that determine the trained weights.
TRAINED = ("data", "model", "optimizer", "schedule", "averaging", "budget", "compute")
# Half widths of the interval: for the same quantizer, since seeds differ by less, and for other clips. With other bits
# the correction itself is uncertain: 4 bits in place of 6 took 3.6 % less than it said (docs/log/2026-11-21.md).
SAME_GRID, OTHER_GRID = 0.005, 0.015


@dataclass(frozen=True, slots=True)
class Correction:
    """Ratio of real to predicted bytes of finished runs."""

    times: float
    half: float
    """Half width of the interval, as a share."""
    runs: int

    def apply(self, estimate: ByteEstimate, limit: int = 0) -> ByteEstimate:
        """Return the corrected estimate, cut at the limit to which codes are pruned; 0 means no limit."""
        total = estimate.estimate * self.times
        basis = f"{counted(self.runs, 'finished run')} here took {self.times:.3f} times the predicted bytes"
        return with_margins(min(total, limit) if limit else total, self.half, self.half, basis)


def correct_estimate(estimate: ByteEstimate, recipe: Recipe, runs_dir: Path) -> ByteEstimate:
    """Return the estimate corrected by finished runs with the same weights; unchanged if there are none."""
    correction = find_correction(recipe, runs_dir)
    return estimate if correction is None else correction.apply(estimate, recipe.quantizer.fit_bytes)


def find_correction(recipe: Recipe, runs_dir: Path) -> Correction | None:
    """Return the correction from finished runs with the same weights; None if there are none."""
    wanted = recipe_json(recipe)
    ratios, is_same_grid, has_same_bits = [], True, True
    for run, result in usable_results(runs_dir):
        found, artifact = read_or_empty(run.files.spec).get("recipe", {}), result["artifact"]
        try:
            of_run = decode_recipe(found)
        except RecipeRefused:
            continue
        if "repacked" not in artifact and trains_same_weights(found, wanted):
            predicted = estimate_model_bytes(of_run).estimate
            ratios.append(artifact["model_bytes"] / predicted)
            is_same_grid &= of_run.quantizer == recipe.quantizer
            has_same_bits &= of_run.quantizer.bits == recipe.quantizer.bits
    if not ratios:
        return None
    mean = fmean(ratios)
    half = max(SAME_GRID if is_same_grid else OTHER_GRID, 2 * (max(ratios) - min(ratios)) / mean)
    half = half if has_same_bits else max(half, abs(1 - mean))
    return Correction(mean, half, len(ratios))


def trains_same_weights(recipe: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Return whether a recipe trains the same weights, except for the seed, and packs them with the same codec."""
    slots = (*TRAINED, "codec")
    same_training = recipe.get("quantizer", {}).get("training") == wanted["quantizer"].get("training")
    return same_training and all(recipe.get(slot) == wanted[slot] for slot in slots)
