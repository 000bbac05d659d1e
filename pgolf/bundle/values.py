"""Writes the values of a program as Python expressions.

The minified program is cached, because minifying takes two seconds and many recipes differ in values only. So it
contains a placeholder that names every class of the recipe, and the minifier renames them there as elsewhere.
"""

import re
from dataclasses import fields, is_dataclass
from typing import Any

from pgolf.bundle.modules import components
from trainer.recipe.encode import is_default
from trainer.recipe.program import Program
from trainer.recipe.recipe import Recipe

PLACEHOLDER = re.compile(r"VALUES\(([\w, ]*)\)")


def class_names(recipe: Recipe) -> list[str]:
    """Return the names of all classes in a program of the recipe, sorted."""
    return sorted({Program.__name__} | {type(component).__name__ for component in components(recipe)})


def placeholder(recipe: Recipe) -> str:
    """Return the source of the placeholder for a recipe's program."""
    return f"VALUES({', '.join(class_names(recipe))})"


def fill_placeholder(program: str, values: Program) -> str:
    """Return the program with its placeholder replaced by an expression of the values."""
    found = PLACEHOLDER.search(program)
    assert found is not None, "the program has no placeholder"
    names = dict(zip(class_names(values.recipe), re.split(r",\s*", found[1]), strict=True))
    return program[: found.start()] + expression(values, names) + program[found.end() :]


def expression(value: Any, names: dict[str, str]) -> str:
    """Return Python source of a value, without arguments that equal their default; `names` renames the classes."""
    if is_dataclass(value):
        given = {f.name: getattr(value, f.name) for f in fields(value) if not is_default(f, getattr(value, f.name))}
        arguments = ",".join(f"{name}={expression(member, names)}" for name, member in given.items())
        return f"{names[type(value).__name__]}({arguments})"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key!r}:{expression(member, names)}" for key, member in value.items()) + "}"
    if isinstance(value, tuple):
        return "(" + "".join(f"{expression(member, names)}," for member in value) + ")"
    return repr(value)
