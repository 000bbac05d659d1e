"""Every pattern of a recipe names something: a misspelt one is an error, and not a switch that does nothing."""

from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from trainer.recipe.evaluation import DocumentLora, ScoreFirstTtt
from trainer.recipe.inventory import MATRIX_GROUPS, inventory
from trainer.recipe.patterns import matches_any, pattern_matches
from trainer.recipe.plan import execution_plan, is_meant
from trainer.recipe.strict import RecipeConflict

if TYPE_CHECKING:
    from trainer.recipe.recipe import Recipe

# Keys whose values are patterns of tensors, as lists or as keys of a mapping, and the groups that they can affect.
EVERY_GROUP, QUANTIZED_GROUPS = ("embedding", *MATRIX_GROUPS, "control"), ("embedding", *MATRIX_GROUPS)
OF_TENSORS = {
    **dict.fromkeys(("bits", "k", "scale_floor", "fitted"), QUANTIZED_GROUPS),
    **dict.fromkeys(("lr", "frozen", "learn", "freeze"), EVERY_GROUP),
    "adamw": MATRIX_GROUPS,
}
EVERYTHING = ("default", "*")


def check_every_pattern(recipe: "Recipe") -> None:
    """Nothing, if each pattern of a recipe names a tensor, or a block of the model.

    Raises: RecipeConflict with the nearest name.
    """
    tensors = inventory(recipe.model, recipe.data.vocabulary_size or 1)
    for path, patterns in patterns_of(recipe, ()):
        if path[-1] == "exclusive":
            check_visits(recipe, path, patterns)
            continue
        groups = OF_TENSORS[path[-1]]
        if isinstance(recipe.evaluation, DocumentLora) and path[-1] == "learn":
            groups = QUANTIZED_GROUPS
        names = [tensor.name for tensor in tensors if tensor.group in groups]
        for pattern in patterns:
            if pattern not in EVERYTHING and not any(pattern_matches(pattern, name) for name in names):
                raise RecipeConflict(f"{pattern!r} names nothing that it could affect{hint(pattern, names)}", *path)
    check_something_learns(recipe, [tensor.name for tensor in tensors])


def check_visits(recipe: "Recipe", path: tuple[str, ...], patterns: Iterable[str]) -> None:
    """Nothing, if each pattern names a visit to a block, before or after the plan changes.

    Raises: RecipeConflict with the nearest name.
    """
    visits = [visit for progress in (0.0, 1.0) for visit in execution_plan(recipe.model, progress)]
    for pattern in patterns:
        if not any(is_meant(pattern, visit) for visit in visits):
            names = list(
                dict.fromkeys(name for visit in visits for name in (visit.block, f"{visit.block}/{visit.loop}"))
            )
            raise RecipeConflict(f"{pattern!r} names no execution of this model{hint(pattern, names)}", *path)


def check_something_learns(recipe: "Recipe", names: list[str]) -> None:
    """Nothing, if adaptation has a tensor to adapt.

    Raises: RecipeConflict otherwise, before training is paid for.
    """
    evaluation = recipe.evaluation
    if not isinstance(evaluation, ScoreFirstTtt):
        return
    if not any(matches_any(evaluation.learn, n) and not matches_any(evaluation.freeze, n) for n in names):
        raise RecipeConflict("`learn` and `freeze` leave no tensor that learns", "evaluation", "freeze")


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
