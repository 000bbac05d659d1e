"""Values by tensor name: `{default: 6, "flat.*.attention": 5, embedding: 8}`."""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import TypeVar

from trainer.recipe.strict import RecipeConflict

Value = TypeVar("Value")


def check_patterns(values: Mapping[str, object], field_name: str) -> None:
    """Nothing, if every tensor can find a value.

    Raises: RecipeConflict when there is no default or a pattern is empty.
    """
    if "default" not in values:
        raise RecipeConflict(f"{field_name} has no `default` for the tensors that no pattern names", field_name)
    check_pattern_names(values, field_name)


def check_pattern_names(patterns: Iterable[str], field_name: str) -> None:
    """Nothing, if each could match a tensor.

    Raises: RecipeConflict when a segment is empty.
    """
    if any(not segment for pattern in patterns for segment in pattern.split(".")):
        raise RecipeConflict(f"{field_name} has a pattern with an empty segment", field_name)


def matches_any(patterns: Iterable[str], name: str) -> bool:
    """True if one of the patterns names the tensor or a part it belongs to."""
    return any(pattern_matches(pattern, name) for pattern in patterns)


def pattern_matches(pattern: str, name: str) -> bool:
    """True if the dotted pattern names the tensor or a part it belongs to: `flat.*.attention` has
    `flat.0.attention.query`.
    """
    segments, parts = pattern.split("."), name.split(".")
    return len(segments) <= len(parts) and all(map(fnmatchcase, parts, segments))


def value_for(values: Mapping[str, Value], name: str) -> Value:
    """The value for a tensor: its exact name, else the pattern with most literal characters, else `default`.

    Raises: RecipeConflict when two patterns of equal length match.
    """
    if name in values:
        return values[name]
    matching = [p for p in values if p != "default" and pattern_matches(p, name)]
    if not matching:
        return values["default"]
    ranked = sorted(matching, key=literal_characters, reverse=True)
    if len(ranked) > 1 and literal_characters(ranked[0]) == literal_characters(ranked[1]):
        raise RecipeConflict(f"{name} matches both {ranked[0]!r} and {ranked[1]!r}; make one of them more exact")
    return values[ranked[0]]


def literal_characters(pattern: str) -> int:
    """Characters of a pattern that are not wildcards."""
    return sum(character not in "*?[]" for character in pattern)
