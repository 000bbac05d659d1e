"""Removes from a recipe's classes the fields that its program neither sets nor reads."""

import ast
from collections.abc import Iterable
from dataclasses import fields

from pgolf.bundle.modules import components
from trainer.recipe.encode import is_default
from trainer.recipe.recipe import Recipe


def given_fields(recipe: Recipe) -> set[str]:
    """Return the names of the fields that have another value than their default somewhere in a recipe."""
    return {
        field.name
        for component in components(recipe)
        for field in fields(component)
        if not is_default(field, getattr(component, field.name))
    }


def drop_fields(body: list[ast.stmt], classes: frozenset[str], given: set[str]) -> None:
    """Remove fields of some classes that have a default, that no recipe sets, and whose names nothing else contains."""
    named = given | names_of_fields(body)
    for statement in body:
        if isinstance(statement, ast.ClassDef) and statement.name in classes:
            statement.body = [part for part in statement.body if not is_droppable(part, named)] or [ast.Pass()]


def is_droppable(part: ast.stmt, named: set[str]) -> bool:
    match part:
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr()):
            return name not in named
    return False


def names_of_fields(body: Iterable[ast.stmt]) -> set[str]:
    """Return every name in the statements by which a field can be read or set: attributes, keywords and strings."""
    found: set[str] = set()
    for node in (node for statement in body for node in ast.walk(statement)):
        match node:
            case ast.Attribute(attr=name) | ast.keyword(arg=str(name)) | ast.Constant(value=str(name)):
                found.add(name)
            case ast.MatchClass(kwd_attrs=names):
                found.update(names)
    return found
