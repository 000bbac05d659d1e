"""What makes two runs the same experiment."""

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from trainer.recipe.recipe import Recipe


def recipe_json(recipe: Recipe) -> dict[str, Any]:
    """Every value of a recipe, defaults included, as JSON."""
    document: dict[str, Any] = TypeAdapter(Recipe).dump_python(recipe, mode="json")
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
    identity = without_paths(recipe_json(recipe) | {"data": data_sha256})
    canonical = json.dumps({"recipe": identity, "ruleset": ruleset}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
