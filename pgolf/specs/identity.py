"""What makes two runs the same experiment."""

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic_core import to_jsonable_python

from pgolf.specs.script import Script
from trainer.recipe.recipe import Recipe


def recipe_json(recipe: Recipe) -> dict[str, Any]:
    """Every value of a recipe, defaults included, as JSON."""
    # By the values' own types: a TypeAdapter builds its schema anew, which takes 0.2 s each time.
    document: dict[str, Any] = to_jsonable_python(recipe)
    return document


def without_paths(value: Any) -> Any:
    """A recipe as JSON in which each file of the user's own is its content's hash."""
    if not isinstance(value, dict):
        return value
    content = {"file": hashlib.sha256(Path(value["file"]).read_bytes()).hexdigest()} if "class_name" in value else {}
    return {key: without_paths(member) for key, member in value.items()} | content


def spec_sha256(recipe: Recipe, ruleset: str, data_sha256: str) -> str:
    """SHA-256 of the canonical JSON of recipe, ruleset version and data.

    The data slot enters as its manifest hash: a folder is not an identity. Name, comments, seeds, launch and spend
    do not enter.
    """
    return sha256_of({"recipe": without_paths(recipe_json(recipe) | {"data": data_sha256}), "ruleset": ruleset})


def script_spec_sha256(
    script: Script, processes: int, program_sha256: str, ruleset: str, data_sha256: str | None
) -> str:
    """SHA-256 of the canonical JSON of a script's content, its variables, its processes, ruleset version and data.

    Unlike a recipe's run a script's is another one on another number of processes. Paths and the seconds that it is
    allowed do not enter, for they change no result that there is.
    """
    said = script.model_dump(mode="json", exclude={"path", "files", "data", "seconds", "unchecked", "nproc"})
    said |= {"processes": processes, "is_told_ranks": script.nproc is not None or processes > 1}
    return sha256_of({"program": said | {"sha256": program_sha256, "data": data_sha256}, "ruleset": ruleset})


def sha256_of(document: dict[str, Any]) -> str:
    """SHA-256 of a document's canonical JSON."""
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
