"""Docstrings below the fields of a class, read from its source.

pydantic can read them as well, but does so for every class at import, which doubled the start-up time of every command.
Only the schema needs them.
"""

import ast
import inspect
from itertools import pairwise
from textwrap import dedent


def field_docstrings(cls: type) -> dict[str, str]:
    """Return the docstring below each field of a class, base classes included."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.split(".")[0] in ("pgolf", "trainer"):
            found |= own_field_docstrings(base)
    return found


def own_field_docstrings(cls: type) -> dict[str, str]:
    """Return the docstring below each field that a class itself defines."""
    (definition,) = ast.parse(dedent(inspect.getsource(cls))).body
    assert isinstance(definition, ast.ClassDef)
    found: dict[str, str] = {}
    for field, below in pairwise(definition.body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            match below.value:
                case ast.Constant(value=str(text)):
                    found[field.target.id] = inspect.cleandoc(text)
    return found
