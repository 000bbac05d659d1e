"""The documents with which a run directory begins."""

import hashlib
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pgolf.preflight.examine import Preflight
from pgolf.rundir import RunDirectory
from pgolf.specs.identity import recipe_json
from trainer.recipe.files import LOCAL_FOLDER
from trainer.recipe.local import local_codes
from trainer.recipe.recipe import Recipe

CODE_BASIS = "raw bytes of the trainer modules that this recipe reaches; there is no bundler yet"


def local_files(recipe: Recipe) -> dict[str, Path]:
    """The files of the user's own that a recipe names, by the name of the copy that the run directory keeps."""
    return {copy_name(Path(code.file)): Path(code.file) for code in local_codes(recipe)}


def copy_name(file: Path) -> str:
    """A name that two files of one name do not share; a copy keeps its own."""
    mark = f"{hashlib.sha256(file.read_bytes()).hexdigest()[:8]}_"
    return mark + file.name.removeprefix(mark)


def with_own_copies(value: Any) -> Any:
    """A recipe as JSON in which each file of the user's own is the run directory's copy."""
    if not isinstance(value, dict):
        return value
    copy = {"file": f"{LOCAL_FOLDER}/{copy_name(Path(value['file']))}"} if "class_name" in value else {}
    return {key: with_own_copies(member) for key, member in value.items()} | copy


def run_documents(
    preflight: Preflight, run: RunDirectory, seed: int, origin: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """spec.json and run.json of one seed, from a preflight that found the data."""
    assert preflight.located is not None
    spec = preflight.spec
    recipe = with_own_copies(recipe_json(spec.recipe))
    resolved = spec.model_dump(mode="json") | {"recipe": recipe, "seed": seed} | origin
    document = {
        "run_id": run.run_id,
        "name": spec.name,
        "seed": seed,
        "spec_sha256": preflight.identity,
        "code_sha256": preflight.code.sha256,
        "data_sha256": preflight.located.manifest.sha256,
        "ruleset": preflight.ruleset.label,
        "launcher": spec.launch.on,
        "device": "cpu" if spec.launch.gpu is None else "cuda",
        "data_folder": str(preflight.located.folder),
        "code_bytes": preflight.code.bytes,
        "code_basis": CODE_BASIS,
        "limit_bytes": preflight.ruleset.artifact_limit_bytes,
        "torch": version("torch"),
        "environment": None,
    }
    return resolved, document
