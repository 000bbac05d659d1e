"""The keys that are valid at a place in a spec, and the one somebody probably meant."""

from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from pgolf.specs.experiment import Experiment

Path = tuple[str | int, ...]


def nearest(word: str, choices: list[str], likeness: float = 0.5) -> str | None:
    """The choice most like a word, or None when none is so like it."""
    matches = get_close_matches(word, choices, n=1, cutoff=likeness)
    return matches[0] if matches else None


def children(kind: Any) -> dict[str, Any]:
    """Field names and types of a model or dataclass."""
    if is_dataclass(kind):
        return {field.name: field.type for field in fields(kind)}
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return {field.alias or name: field.annotation for name, field in kind.model_fields.items()}
    return {}


def members(kind: Any) -> list[Any]:
    """The alternatives of a type, without None and annotations."""
    origin = get_origin(kind)
    if origin is Annotated:
        return members(get_args(kind)[0])
    if origin in (Union, UnionType):
        return [member for part in get_args(kind) for member in members(part)]
    return [] if kind is NoneType else [kind]


def kind_word(kind: Any) -> str | None:
    """The word that tags a component, or None for what is not one."""
    tag = children(kind).get("kind")
    return str(get_args(tag)[0]) if get_origin(tag) is Literal else None


def spec_path(location: Path) -> Path:
    """A pydantic error location without the tags of the unions it went through."""
    return walk(location)[0]


def valid_keys(location: Path) -> list[str]:
    """The keys of the mapping at a pydantic error location."""
    return list(dict.fromkeys(key for kind in walk(location)[1] for key in children(kind)))


def component_kinds(location: Path) -> list[str]:
    """The kinds that fill the slot at a pydantic error location."""
    return [word for kind in walk(location)[1] if (word := kind_word(kind))]


def walk(location: Path) -> tuple[Path, list[Any]]:
    """The path through a spec that a pydantic error location stands for, and the types that may stand at its end."""
    path: list[str | int] = []
    alternatives: list[Any] = [Experiment]
    for part in location:
        if len(alternatives) > 1 and part in {kind_word(kind) for kind in alternatives}:
            alternatives = [kind for kind in alternatives if kind_word(kind) == part]
        else:
            path.append(part)
            alternatives = [m for kind in alternatives for m in members(children(kind).get(str(part)))]
    return tuple(path), alternatives
