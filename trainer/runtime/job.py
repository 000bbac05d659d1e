"""The job in a run directory: recipe, seed, data folder, device."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.recipe.decode import decode_recipe
from trainer.recipe.files import DataFiles, RunFiles
from trainer.recipe.reading import read_json
from trainer.recipe.recipe import Recipe
from trainer.runtime.failure import ResumeRefused

Kind = type | tuple[type, ...]


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
        spec, run = read_json(files.spec), read_run(files)
        recipe = decode_recipe(require(spec, "recipe", dict, files.spec))
        folder = Path(require(run, "data_folder", str, files.run))
        data = DataFiles(folder, transform=recipe.data.transform)
        seed = require(spec, "seed", int, files.spec)
        if parent := run.get("parent"):
            for key, kind in (("steps", int), ("train_seconds", (int, float)), ("prequant_sha256", str)):
                require(parent, key, kind, files.run)
        return TrainingJob(files=files, recipe=recipe, data=data, seed=seed, run=run)
    except (OSError, ValueError) as error:
        raise ResumeRefused(f"{root} is not a run directory: {error}") from error


def read_run(files: RunFiles) -> dict[str, Any]:
    """Return run.json.

    Raises:
        ValueError: a key that a run needs is missing or of another type; names it.
        OSError: the file cannot be read.
    """
    run = read_json(files.run)
    for key in ("run_id", "name", "spec_sha256", "code_sha256", "ruleset", "device"):
        require(run, key, str, files.run)
    for key in ("seed", "code_bytes"):
        require(run, key, int, files.run)
    if run.get("limit_bytes", 0) is not None:  # null under rules that set no limit
        require(run, "limit_bytes", int, files.run)
    for key in ("environment", "parent", "plan", "stop"):
        if run.get(key) is not None:
            require(run, key, dict, files.run)
    return run


def require(document: Any, key: str, kind: Kind, path: Path) -> Any:
    """Return the value of a key.

    Raises:
        ValueError: the key is missing, or its value is of another type.
    """
    found = document.get(key) if isinstance(document, dict) else None
    if not isinstance(found, kind) or isinstance(found, bool):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        raise ValueError(f"{path}: {key}: found {found!r}, expected {' or '.join(each.__name__ for each in kinds)}")
    return found
