"""The job in a run directory: recipe, seed, data folder, device."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.recipe.decode import RecipeRefused, decode_recipe
from trainer.recipe.files import DataFiles, RunFiles
from trainer.recipe.reading import read_json
from trainer.recipe.recipe import Recipe
from trainer.runtime.failure import ResumeRefused


@dataclass(frozen=True, slots=True)
class ParentWeights:
    """Weights that a parent run has trained; they are in prequant.ckpt before this run starts."""

    steps: int
    train_seconds: float
    prequant_sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingJob:
    """The contents of a run directory that holds a recipe."""

    files: RunFiles
    recipe: Recipe
    data: DataFiles
    seed: int
    run: dict[str, Any]
    """run.json: identity, hashes, limits."""

    @property
    def parent(self) -> ParentWeights | None:
        """The weights to use in place of training; None if this run trains."""
        parent = self.run.get("parent")
        return parent and ParentWeights(parent["steps"], parent["train_seconds"], parent["prequant_sha256"])


def read_job(root: Path) -> TrainingJob:
    """Read the job of a run directory.

    Raises:
        ResumeRefused: spec.json or run.json is missing or not readable.
    """
    files = RunFiles(root.resolve())
    try:
        spec, run = read_json(files.spec), read_json(files.run)
        recipe, data = decode_recipe(spec["recipe"]), DataFiles(Path(run["data_folder"]))
        return TrainingJob(files=files, recipe=recipe, data=data, seed=spec["seed"], run=run)
    except (OSError, ValueError, KeyError, RecipeRefused) as error:
        raise ResumeRefused(f"{root} is not a run directory: {error}") from error
