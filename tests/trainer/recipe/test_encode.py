"""Encoding without defaults: the same recipe comes back, and a default is not written."""

import json
from dataclasses import MISSING, fields
from pathlib import Path

import pytest

from pgolf.bundle.specialize import dataclasses_of
from pgolf.specs.loading import load_spec
from pgolf.specs.shipped import shipped_specs
from tests.trainer.small import small_recipe
from trainer.codec.container import ModelCard
from trainer.recipe.decode import decode_recipe
from trainer.recipe.encode import encode_given

KEPT_DEFAULTS = Path(__file__).with_name("kept_defaults.json")


@pytest.mark.parametrize("name", sorted(shipped_specs()))
def test_every_shipped_recipe_comes_back_from_what_it_gives(name: str) -> None:
    recipe = load_spec(name).spec.recipe
    assert decode_recipe(json.loads(json.dumps(encode_given(recipe)))) == recipe


def test_only_values_that_differ_from_their_defaults_are_written() -> None:
    given = encode_given(small_recipe(model__topology__depth_scale="true", optimizer__clip_norm=0.5))
    assert given["model"]["topology"]["depth_scale"] is True
    assert given["optimizer"]["clip_norm"] == 0.5
    assert "parallel" not in given["model"]["topology"]
    assert "compute" not in given


def defaults_of_artifacts() -> dict[str, str]:
    """Return every default of what the header of an artifact may hold."""
    return {
        f"{kind.__name__}.{field.name}": repr(
            field.default if field.default_factory is MISSING else field.default_factory()
        )
        for kind in sorted({*dataclasses_of(ModelCard, set())}, key=lambda kind: kind.__name__)
        for field in fields(kind)
        if not (field.default is MISSING and field.default_factory is MISSING)
    }


def test_defaults_stay_what_artifacts_rely_on() -> None:
    """The file has the defaults of all releases that leave them out. Add new keys to it; never change one."""
    found, kept = defaults_of_artifacts(), json.loads(KEPT_DEFAULTS.read_text())
    assert {name: found.get(name) for name in kept} == kept
    assert found.keys() == kept.keys(), f"add to {KEPT_DEFAULTS.name}: {sorted(found.keys() - kept.keys())}"
