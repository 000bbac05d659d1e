"""pydantic and decode_recipe accept the same documents and return the same recipe."""

import copy
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from pgolf.specs.experiment import recipe_json
from pgolf.specs.loading import load_spec
from pgolf.specs.shipped import shipped_specs
from trainer.recipe.decode import RecipeRefused, decode_recipe
from trainer.recipe.recipe import Recipe

NAMES = sorted(shipped_specs())

Step = tuple[Any, ...]


@cache
def by_pydantic() -> TypeAdapter[Recipe]:
    return TypeAdapter(Recipe)


@cache
def document_of(name: str) -> Any:
    """Return a shipped spec's recipe as JSON. Copy it before you change it."""
    return recipe_json(load_spec(name).spec.recipe)


def paths(document: Any, prefix: Step = ()) -> list[Step]:
    """Return the path of every value in a document."""
    found = [prefix] if prefix else []
    if isinstance(document, dict):
        for key, value in document.items():
            found += paths(value, (*prefix, key))
    if isinstance(document, list):
        for index, value in enumerate(document):
            found += paths(value, (*prefix, index))
    return found


def verdicts(document: Any) -> tuple[Recipe | None, Recipe | None]:
    """Return the recipes that pydantic and the trainer read from a document; None if they refuse it."""
    try:
        pydantics = by_pydantic().validate_python(document)
    except ValidationError:
        pydantics = None
    try:
        trainers = decode_recipe(document)
    except RecipeRefused:
        trainers = None
    return pydantics, trainers


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 600),
    st.floats(-2, 700),
    st.sampled_from([float("nan"), float("inf"), 1e300, "512", "steps", "tokens", "kind", "none", "brotli", "", 2**70]),
    st.just([]),
    st.just({}),
    st.dictionaries(st.sampled_from(["default", "kind", "x.*"]), st.integers(1, 9), max_size=2),
)


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_both_readers_agree_on_mutated_documents(data: st.DataObject) -> None:
    document = copy.deepcopy(document_of(data.draw(st.sampled_from(NAMES))))
    for _ in range(data.draw(st.integers(1, 2))):
        *parents, key = data.draw(st.sampled_from(paths(document)))
        target = document
        for parent in parents:
            target = target[parent]
        action = data.draw(st.sampled_from(["set", "delete", "add"]))
        if action == "set":
            target[key] = data.draw(SCALARS)
        elif action == "delete":
            del target[key]
        elif isinstance(target, list):
            target.append(data.draw(SCALARS))
        else:
            target["unheard_of"] = data.draw(SCALARS)
        if not paths(document):
            break
    pydantics, trainers = verdicts(document)
    assert pydantics == trainers


@pytest.mark.parametrize("name", NAMES)
def test_a_resolved_recipe_comes_back_equal(name: str) -> None:
    document = document_of(name)
    pydantics, trainers = verdicts(document)
    assert trainers is not None
    assert pydantics == trainers
    assert recipe_json(trainers) == document
    assert recipe_json(trainers) == by_pydantic().dump_python(trainers, mode="json")


@pytest.mark.parametrize(
    ("key", "value"),
    [("width", True), ("width", "512"), ("width", 512.0), ("width", 0), ("softcap", -1), ("softcap", float("nan"))],
)
def test_what_pydantic_would_coerce_is_refused_by_both(key: str, value: Any) -> None:
    document = copy.deepcopy(document_of(NAMES[0]))
    document["model"][key] = value
    assert verdicts(document) == (None, None)


def test_the_refusal_names_the_path() -> None:
    document = copy.deepcopy(document_of(NAMES[0]))
    document["model"]["attention"]["rope"]["dimz"] = 3
    with pytest.raises(RecipeRefused, match=r"recipe\.model\.attention\.rope\.dimz: unknown key"):
        decode_recipe(document)
