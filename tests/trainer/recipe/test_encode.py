"""Encoding without defaults: the same recipe comes back, and a default is not written."""

import json

import pytest

from pgolf.specs.loading import load_spec
from pgolf.specs.shipped import shipped_specs
from tests.trainer.small import small_recipe
from trainer.recipe.decode import decode_recipe
from trainer.recipe.encode import encode_given


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
