"""Decoding of recipes from JSON with the standard library alone, as strict as pydantic.

The trainer runs where pydantic is not installed. A property test checks that both readers accept the same documents.
"""

from contextlib import suppress
from dataclasses import MISSING, Field, fields, is_dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from trainer.recipe.recipe import Recipe
from trainer.recipe.strict import Strict


class RecipeRefused(ValueError):
    """A document is not a recipe; the message says where, what was found and what was expected."""


def decode_recipe(document: object) -> Recipe:
    """Return the recipe in a JSON document.

    Raises:
        RecipeRefused: a value is invalid; the message names the path of the first one.
    """
    recipe: Recipe = decode_value(Recipe, document, "recipe")
    return recipe


def decode_value(kind: Any, value: object, path: str) -> Any:
    """Return `value` as an instance of the annotated type `kind`."""
    origin = get_origin(kind)
    if origin is Annotated:
        return decode_annotated(kind, value, path)
    if origin is Literal:
        return decode_choice(get_args(kind), value, path)
    if origin is UnionType or origin is Union:  # typing gives Union if a member is Annotated
        return decode_union(get_args(kind), value, path)
    if origin is dict:
        members = expect(dict, value, path)
        return {key: decode_value(get_args(kind)[1], member, f"{path}.{key}") for key, member in members.items()}
    if origin is tuple:
        members = expect(list, value, path)
        return tuple(decode_value(get_args(kind)[0], member, f"{path}.{n}") for n, member in enumerate(members))
    if is_dataclass(kind):
        return decode_dataclass(kind, value, path)
    return expect(kind, value, path)


def expect(kind: type, value: object, path: str) -> Any:
    """Return `value`, whose type must be exactly `kind`; an int is accepted as a float."""
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise RecipeRefused(f"{path}: found {value!r}, expected {kind.__name__}")
    return value


def decode_annotated(kind: Any, value: object, path: str) -> Any:
    base, *markers = get_args(kind)
    decoded = decode_value(base, value, path)
    for marker in markers:
        if isinstance(marker, Strict) and (bound := marker.violated_bound(decoded)):
            raise RecipeRefused(f"{path}: found {decoded!r}, expected {bound}")
    return decoded


def decode_choice(choices: tuple[Any, ...], value: object, path: str) -> Any:
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        raise RecipeRefused(f"{path}: found {value!r}, expected one of {list(choices)}")
    return value


def decode_union(members: tuple[Any, ...], value: object, path: str) -> Any:
    if value is None and NoneType in members:
        return None
    candidates = [member for member in members if member is not NoneType]
    if len(candidates) == 1:
        return decode_value(candidates[0], value, path)
    if not any(is_dataclass(candidate) for candidate in candidates):
        return decode_scalar(candidates, value, path)
    tag = expect(dict, value, path).get("kind")
    for candidate in candidates:
        if tag in get_args(candidate.__annotations__["kind"]):
            return decode_value(candidate, value, path)
    raise RecipeRefused(f"{path}.kind: found {tag!r}, expected one of {[kind_of(c) for c in candidates]}")


def decode_scalar(candidates: list[Any], value: object, path: str) -> Any:
    """Return `value`, whose type must be exactly one of several."""
    for candidate in candidates:
        is_list = get_origin(candidate) is tuple and type(value) is list
        if is_list or get_origin(candidate) is Literal or type(value) is (get_args(candidate) or (candidate,))[0]:
            with suppress(RecipeRefused):
                return decode_value(candidate, value, path)
    raise RecipeRefused(f"{path}: found {value!r}, expected {' or '.join(map(str, candidates))}")


def kind_of(component: Any) -> str:
    """Return the `kind` that names a component in a spec."""
    (kind,) = get_args(component.__annotations__["kind"])
    return str(kind)


def decode_dataclass(kind: Any, value: object, path: str) -> Any:
    members = expect(dict, value, path)
    known = {field.name: field for field in fields(kind)}
    if unknown := [key for key in members if key not in known]:
        raise RecipeRefused(f"{path}.{unknown[0]}: unknown key, expected one of {list(known)}")
    if missing := [name for name, field in known.items() if name not in members and is_required(field)]:
        raise RecipeRefused(f"{path}.{missing[0]}: missing key")
    decoded = {key: decode_value(known[key].type, member, f"{path}.{key}") for key, member in members.items()}
    try:
        return kind(**decoded)
    except ValueError as conflict:
        raise RecipeRefused(f"{path}: {conflict}") from conflict


def is_required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING
