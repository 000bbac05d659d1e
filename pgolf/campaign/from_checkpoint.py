"""Runs that start from another run's weights: they quantize, pack and score, and train nothing."""

import hashlib
import json
import shutil
from dataclasses import dataclass
from typing import Any

from pgolf.errors import MachineError, UsageError
from pgolf.rundir import RunDirectory
from pgolf.specs.experiment import recipe_json
from pgolf.specs.loading import LoadedSpec, load_spec
from trainer.recipe.reading import read_json

# Slots that may differ from the parent: everything that happens after training.
AFTER_TRAINING = ("quantizer", "codec", "evaluation")


@dataclass(frozen=True, slots=True)
class Parent:
    """A run that has kept its float weights."""

    run: RunDirectory

    def as_json(self) -> dict[str, Any]:
        """Return what the child's run.json says about its parent.

        Raises:
            UsageError: the parent has not finished training.
        """
        if not self.run.files.prequant.exists():
            raise UsageError(
                f"{self.run.run_id} has no weights from before quantization: it has not finished training, or "
                f"{self.run.files.prequant} was removed"
            )
        last = (self.run.read_metrics() or [{"step": 0, "elapsed_seconds": 0.0}])[-1]
        return {
            "run_id": self.run.run_id,
            "spec_sha256": self.run.read_run()["spec_sha256"],
            "steps": last["step"],
            "train_seconds": last["elapsed_seconds"],
            "prequant_sha256": hashlib.sha256(self.run.files.prequant.read_bytes()).hexdigest(),
        }

    def check_same_data(self, document: dict[str, Any]) -> None:
        """Check that a child with this run.json has its parent's data and torch.

        Raises:
            UsageError: they differ; names both.
        """
        before = self.run.read_run()
        for key in ("data_sha256", "torch"):
            if before[key] != document[key]:
                raise UsageError(
                    f"{self.run.run_id} was trained with {key} {before[key]}, here it is {document[key]}; scores of "
                    "the same weights would not compare"
                )

    def copy_weights_to(self, child: RunDirectory) -> None:
        """Copy the weights and the training metrics to the child.

        Raises:
            MachineError: they cannot be written.
        """
        try:
            child.files.checkpoints.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.run.files.prequant, child.files.prequant)
            if self.run.files.metrics.exists():
                shutil.copyfile(self.run.files.metrics, child.files.metrics)
        except OSError as error:
            raise MachineError.from_os_error(error, child.root) from error


def load_child(parent: RunDirectory, overlays: list[str], assignments: list[str]) -> LoadedSpec:
    """Load the spec of a run, changed only in what comes after training.

    Raises:
        UsageError: a change concerns training; names the first one.
    """
    loaded = load_spec(parent.files.spec, overlays, assignments).require_recipe()
    recipe = read_json(parent.files.spec)["recipe"]
    if rounding_in_training(recipe_json(loaded.spec.recipe)) == {"kind": "none"}:
        # Another quantizer slot replaces this key as well, but how training rounded its weights cannot change any more.
        rounding = f"recipe.quantizer.training={json.dumps(rounding_in_training(recipe))}"
        loaded = load_spec(parent.files.spec, overlays, [*assignments, rounding])
    before, after = trained_part(recipe), trained_part(recipe_json(loaded.spec.recipe))
    for slot in after:
        if before.get(slot) != after[slot]:
            key, old, new = first_difference(f"recipe.{slot}", before.get(slot), after[slot])
            raise UsageError(
                f"{key} was {json.dumps(old)} when {parent.run_id} was trained and is now {json.dumps(new)}; with "
                f"--from-checkpoint only {', '.join(AFTER_TRAINING)} may change"
            )
    return loaded


def trained_part(recipe: dict[str, Any]) -> dict[str, Any]:
    """Return what of a recipe the weights depend on: every slot used in training, and rounding during training."""
    slots = {slot: value for slot, value in recipe.items() if slot not in AFTER_TRAINING}
    return slots | {"quantizer.training": rounding_in_training(recipe)}


def rounding_in_training(recipe: dict[str, Any]) -> dict[str, Any]:
    """Return how weights are rounded during training."""
    rounding: dict[str, Any] = recipe["quantizer"].get("training", {"kind": "none"})
    return rounding


def first_difference(path: str, before: Any, after: Any) -> tuple[str, Any, Any]:
    """Return the dotted key of the first value that differs, and both values."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys([*before, *after]):
            if before.get(key) != after.get(key):
                return first_difference(f"{path}.{key}", before.get(key), after.get(key))
    return path, before, after
