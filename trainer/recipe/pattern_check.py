"""Checks that every name pattern of a recipe matches something, so that a misspelled one is an error."""

from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from typing import Any

from trainer.recipe.evaluation import DocumentLora, EvaluationRecipe, ScoreFirstTtt
from trainer.recipe.inventory import MATRIX_GROUPS, inventory
from trainer.recipe.model import Gpt
from trainer.recipe.patterns import matches_any, pattern_matches
from trainer.recipe.plan import execution_plan, matches_execution
from trainer.recipe.strict import RecipeConflict

# Keys that hold tensor name patterns, as a list or as the keys of a mapping, with the groups that they apply to.
EVERY_GROUP, QUANTIZED_GROUPS = ("embedding", *MATRIX_GROUPS, "control"), ("embedding", *MATRIX_GROUPS)
OF_TENSORS = {
    **dict.fromkeys(("bits", "k", "scale_floor", "fitted"), QUANTIZED_GROUPS),
    **dict.fromkeys(("lr", "frozen", "learn", "freeze"), EVERY_GROUP),
    "adamw": MATRIX_GROUPS,
}
EVERYTHING = ("default", "*")


def check_every_pattern(recipe: Any, model: Gpt, evaluation: EvaluationRecipe, vocabulary_size: int | None) -> None:
    """Check that each pattern of a recipe matches a tensor that its key applies to, or an execution.

    Raises:
        RecipeConflict: a pattern matches nothing; the message suggests the nearest name.
    """
    tensors = inventory(model, vocabulary_size or 1)
    for path, patterns in patterns_of(recipe, ()):
        if path[-1] == "exclusive":
            check_execution_patterns(model, path, patterns)
            continue
        groups = OF_TENSORS[path[-1]]
        if isinstance(evaluation, DocumentLora) and path[-1] == "learn":
            groups = QUANTIZED_GROUPS
        names = [tensor.name for tensor in tensors if tensor.group in groups]
        for pattern in patterns:
            if pattern not in EVERYTHING and not any(pattern_matches(pattern, name) for name in names):
                raise RecipeConflict(
                    f"{pattern!r} matches no tensor that this key applies to{hint(pattern, names)}", *path
                )
    check_something_learns(evaluation, [tensor.name for tensor in tensors])


def check_execution_patterns(model: Gpt, path: tuple[str, ...], patterns: Iterable[str]) -> None:
    """Check that each pattern matches an execution, before or after the plan changes.

    Raises:
        RecipeConflict: a pattern matches none; the message suggests the nearest name.
    """
    executions = [execution for progress in (0.0, 1.0) for execution in execution_plan(model, progress)]
    for pattern in patterns:
        if not any(matches_execution(pattern, execution) for execution in executions):
            names = list(dict.fromkeys(name for e in executions for name in (e.block, f"{e.block}/{e.loop}")))
            raise RecipeConflict(f"{pattern!r} matches no execution of this model{hint(pattern, names)}", *path)


def check_something_learns(evaluation: EvaluationRecipe, names: list[str]) -> None:
    """Check that test-time training has a tensor to train.

    Raises:
        RecipeConflict: it has none.
    """
    if not isinstance(evaluation, ScoreFirstTtt):
        return
    if not any(matches_any(evaluation.learn, n) and not matches_any(evaluation.freeze, n) for n in names):
        raise RecipeConflict("`learn` and `freeze` leave no tensor to train", "evaluation", "freeze")


def patterns_of(part: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Iterable[str]]]:
    """Yield path and patterns of every key that holds patterns."""
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
    """Return the end of a message that suggests the nearest name of equal depth, or gives examples."""
    depth = pattern.count(".") + 1
    choices = list(dict.fromkeys(".".join(name.split(".")[:depth]) for name in names))
    close = get_close_matches(pattern, choices, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; expected, for example, {', '.join(choices[:8])}"
