"""Finds the keys that are valid at a place in a spec, and the one most similar to a misspelled key."""

from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeGuard, Union, get_args, get_origin

from pydantic import BaseModel

from pgolf.specs.experiment import Experiment

Path = tuple[str | int, ...]


def nearest(word: str, choices: list[str], likeness: float = 0.5) -> str | None:
    """Return the choice most similar to a word, or None if none reaches the likeness."""
    matches = get_close_matches(word, choices, n=1, cutoff=likeness)
    return matches[0] if matches else None


def field_types(kind: Any) -> dict[str, Any]:
    """Return the field names and types of a model or dataclass; empty for any other type."""
    if is_dataclass(kind):
        return {field.name: field.type for field in fields(kind)}
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return {field.alias or name: field.annotation for name, field in kind.model_fields.items()}
    return {}


def union_members(kind: Any) -> list[Any]:
    """Return the members of a union, or the type itself, without None and annotations."""
    origin = get_origin(kind)
    if origin is Annotated:
        return union_members(get_args(kind)[0])
    if origin in (Union, UnionType):
        return [member for part in get_args(kind) for member in union_members(part)]
    return [] if kind is NoneType else [kind]


def kind_tag(kind: Any) -> str | None:
    """Return a component's `kind`, or None for any other type."""
    tag = field_types(kind).get("kind")
    return str(get_args(tag)[0]) if get_origin(tag) is Literal else None


def spec_path(location: Path) -> Path:
    """Return a pydantic error location without the tags of unions."""
    return resolve_location(location)[0]


def valid_keys(location: Path) -> list[str]:
    """Return the keys of the mapping at a pydantic error location."""
    return list(dict.fromkeys(key for kind in resolve_location(location)[1] for key in field_types(kind)))


def component_kinds(location: Path) -> list[str]:
    """Return the kinds of components at a pydantic error location."""
    return [tag for kind in resolve_location(location)[1] if (tag := kind_tag(kind))]


def is_type_name(part: str | int, alternatives: list[Any]) -> TypeGuard[str]:
    """Return whether a part of an error location is pydantic's name of one type of a union, and no key.

    Only a union of a list and something else has such names; others are told apart by their kinds.
    """
    has_list = any(get_origin(kind) is tuple for kind in alternatives)
    return has_list and isinstance(part, str) and not any(part in field_types(kind) for kind in alternatives)


def resolve_location(location: Path) -> tuple[Path, list[Any]]:
    """Return the path in the spec of a pydantic error location, and the possible types of the value there."""
    path: list[str | int] = []
    alternatives: list[Any] = [Experiment]
    for part in location:
        if len(alternatives) > 1 and part in {kind_tag(kind) for kind in alternatives}:
            alternatives = [kind for kind in alternatives if kind_tag(kind) == part]
        elif len(alternatives) > 1 and is_type_name(part, alternatives):
            alternatives = [kind for kind in alternatives if (get_origin(kind) is tuple) == part.startswith("tuple[")]
        elif isinstance(part, int):
            path.append(part)
            alternatives = [m for k in alternatives if get_origin(k) is tuple for m in union_members(get_args(k)[0])]
        else:
            path.append(part)
            alternatives = [m for kind in alternatives for m in union_members(field_types(kind).get(str(part)))]
    return tuple(path), alternatives
