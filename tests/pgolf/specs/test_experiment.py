"""Experiment: closed, frozen, and one schema for editors."""

import pytest
from pydantic import ValidationError

from pgolf.specs.loading import load_spec
from pgolf.specs.schema import file_schema


def test_a_loaded_spec_cannot_be_changed() -> None:
    spec = load_spec("quickstart").spec
    with pytest.raises(ValidationError, match="frozen"):
        spec.name = "other"
    with pytest.raises(AttributeError):
        spec.recipe.model.width = 3  # type: ignore[misc]


def test_the_json_schema_carries_the_docstrings_and_forbids_unknown_keys() -> None:
    schema = file_schema()
    assert schema["properties"]["question"]["description"] == "What this experiment should find out."
    assert schema["additionalProperties"] is False
    brotli = schema["$defs"]["Brotli"]
    assert brotli["additionalProperties"] is False
    assert (
        brotli["properties"]["quality"]["description"]
        == "Compression quality: 0 is fastest, 11 gives the fewest bytes."
    )
    assert (brotli["properties"]["quality"]["minimum"], brotli["properties"]["quality"]["maximum"]) == (0, 11)
    assert "kind" in brotli["required"]
