"""Every pattern of a recipe names something: a misspelt one is an error, and not a switch that does nothing."""

from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from trainer.recipe.inventory import inventory
from trainer.recipe.patterns import pattern_matches
from trainer.recipe.plan import execution_plan
from trainer.recipe.strict import RecipeConflict

if TYPE_CHECKING:
    from trainer.recipe.recipe import Recipe

# Keys whose values are patterns of tensors, as lists or as keys of a mapping.
OF_TENSORS = ("bits", "k", "scale_floor", "lr", "adamw", "frozen", "learn", "freeze", "fitted")
EVERYTHING = ("default", "*")


def check_every_pattern(recipe: "Recipe") -> None:
    """Nothing, if each pattern of a recipe names a tensor, or a block of the model.

    Raises: RecipeConflict with the nearest name.
    """
    tensors = [tensor.name for tensor in inventory(recipe.model, recipe.data.vocabulary_size or 1)]
    blocks = list(dict.fromkeys(execution.block for execution in execution_plan(recipe.model)))
    for path, patterns in patterns_of(recipe, ()):
        names = blocks if path[-1] == "exclusive" else tensors
        for pattern in patterns:
            if pattern not in EVERYTHING and not any(pattern_matches(pattern.partition("/")[0], n) for n in names):
                raise RecipeConflict(f"{pattern!r} names nothing in this model{hint(pattern, names)}", *path)


def patterns_of(part: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Iterable[str]]]:
    """The place and the patterns of every key that holds some."""
    if isinstance(part, dict):
        for key, value in part.items():
            yield from patterns_of(value, (*path, key))
    if not is_dataclass(part):
        return
    for field in fields(part):
        value = getattr(part, field.name)
        if field.name == "exclusive" or (field.name in OF_TENSORS and isinstance(value, dict | tuple)):
            yield (*path, field.name), value
        else:
            yield from patterns_of(value, (*path, field.name))


def hint(pattern: str, names: list[str]) -> str:
    """The name that may have been meant, with the parts that lead to it."""
    depth = pattern.count(".") + 1
    choices = list(dict.fromkeys(".".join(name.split(".")[:depth]) for name in names))
    close = get_close_matches(pattern, choices, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; there is {', '.join(choices[:8])}"
