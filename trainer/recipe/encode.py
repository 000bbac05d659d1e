"""Encoding of recipes as JSON without the values that equal their defaults.

This is how artifacts store a model, so a key that a later release adds changes no artifact. Defaults are therefore
part of the format: another default would make another model of an old artifact, and a test keeps them.
"""

from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any


def encode_given(value: Any) -> Any:
    """Return the JSON of a recipe, or of a part of it, that `decode_value` reads, without values at their defaults."""
    if is_dataclass(value):
        members = {field: getattr(value, field.name) for field in fields(value)}
        return {field.name: encode_given(m) for field, m in members.items() if not is_default(field, m)}
    if isinstance(value, dict):
        return {key: encode_given(member) for key, member in value.items()}
    return [encode_given(member) for member in value] if isinstance(value, tuple) else value


def is_default(field: Field[Any], value: Any) -> bool:
    """Return whether a field has this value, of this type, if it is not given."""
    default = field.default if field.default_factory is MISSING else field.default_factory()
    return type(value) is type(default) and bool(value == default)
