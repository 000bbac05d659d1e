"""The values of a bundle: what the bundler writes into train_gpt.py beside the code."""

from collections.abc import Mapping
from dataclasses import dataclass

from trainer.recipe.recipe import Recipe


@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """A recipe with what its program needs to run alone."""

    name: str
    seed: int
    device: str
    """`cpu` or `cuda`, unless --device says otherwise."""
    limit_bytes: int | None
    recipe: Recipe
    local: Mapping[str, str]
    """The user's own files: text by the path in the recipe."""
