"""What a run directory asks for: the recipe, the seed, the data folder, the device."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.recipe.decode import RecipeRefused, decode_recipe
from trainer.recipe.files import DataFiles, RunFiles, read_json
from trainer.recipe.recipe import Recipe
from trainer.runtime.failure import ResumeRefused


@dataclass(frozen=True, slots=True)
class ParentWeights:
    """Weights that another run has trained: prequant.ckpt was there before this one began."""

    steps: int
    train_seconds: float
    prequant_sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingJob:
    """A run directory, read."""

    files: RunFiles
    recipe: Recipe
    seed: int
    run: dict[str, Any]
    """run.json: identity, hashes, limits."""

    @property
    def parent(self) -> ParentWeights | None:
        """What this run was given in place of training; None where it trains itself."""
        parent = self.run.get("parent")
        return parent and ParentWeights(parent["steps"], parent["train_seconds"], parent["prequant_sha256"])

    @property
    def data(self) -> DataFiles:
        return DataFiles(Path(self.run["data_folder"]))


def read_job(root: Path) -> TrainingJob:
    """The job of a run directory.

    Raises: ResumeRefused when spec.json or run.json is not there or not readable.
    """
    files = RunFiles(root.resolve())
    try:
        spec, run = read_json(files.spec), read_json(files.run)
        return TrainingJob(files=files, recipe=decode_recipe(spec["recipe"]), seed=spec["seed"], run=run)
    except (OSError, ValueError, KeyError, RecipeRefused) as error:
        raise ResumeRefused(f"{root} is not a run directory: {error}") from error
