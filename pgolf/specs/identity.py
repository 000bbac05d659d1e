"""What makes two runs the same experiment."""

import hashlib
import json
from typing import Any

from pydantic import TypeAdapter

from trainer.recipe.recipe import Recipe


def recipe_json(recipe: Recipe) -> dict[str, Any]:
    """Every value of a recipe, defaults included, as JSON."""
    document: dict[str, Any] = TypeAdapter(Recipe).dump_python(recipe, mode="json")
    return document


def spec_sha256(recipe: Recipe, ruleset: str, data_sha256: str) -> str:
    """SHA-256 of the canonical JSON of recipe, ruleset version and data.

    The data slot enters as its manifest hash: a folder is not an identity. Name, comments, seeds, launch and spend
    do not enter.
    """
    identity = recipe_json(recipe) | {"data": data_sha256}
    canonical = json.dumps({"recipe": identity, "ruleset": ruleset}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
