"""Values by tensor name pattern: `{default: 6, "flat.*.attention": 5, embedding: 8}`."""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import TypeVar

from trainer.recipe.strict import RecipeConflict

Value = TypeVar("Value")


def check_patterns(values: Mapping[str, object], field_name: str) -> None:
    """Check that every tensor has a value.

    Raises:
        RecipeConflict: there is no default, or a pattern has an empty segment.
    """
    if "default" not in values:
        raise RecipeConflict(f"{field_name} has no `default` for tensors that no pattern matches; add one", field_name)
    check_pattern_names(values, field_name)


def check_pattern_names(patterns: Iterable[str], field_name: str) -> None:
    """Check that no pattern has an empty segment.

    Raises:
        RecipeConflict: one has.
    """
    for pattern in patterns:
        if not all(pattern.split(".")):
            raise RecipeConflict(f"{field_name} has a pattern with an empty segment, {pattern!r}", field_name)


def matches_any(patterns: Iterable[str], name: str) -> bool:
    """Return whether one of the patterns matches the tensor or a part it belongs to."""
    return any(pattern_matches(pattern, name) for pattern in patterns)


def pattern_matches(pattern: str, name: str) -> bool:
    """Return whether a dotted pattern matches a tensor or a part it belongs to.

    `flat.*.attention` matches `flat.0.attention.query`.
    """
    segments, parts = pattern.split("."), name.split(".")
    return len(segments) <= len(parts) and all(map(fnmatchcase, parts, segments))


def value_for(values: Mapping[str, Value], name: str) -> Value:
    """Return the value of a tensor: by its exact name, else by pattern, else `default`.

    Of several matching patterns, the one with most literal characters counts.

    Raises:
        RecipeConflict: two matching patterns have equally many literal characters.
    """
    if name in values:
        return values[name]
    matching = [p for p in values if p != "default" and pattern_matches(p, name)]
    if not matching:
        return values["default"]
    ranked = sorted(matching, key=literal_characters, reverse=True)
    if len(ranked) > 1 and literal_characters(ranked[0]) == literal_characters(ranked[1]):
        raise RecipeConflict(f"{name} matches both {ranked[0]!r} and {ranked[1]!r}; make one more specific")
    return values[ranked[0]]


def literal_characters(pattern: str) -> int:
    """Return the number of characters of a pattern that are not wildcards."""
    return sum(character not in "*?[]" for character in pattern)
