"""The execution plan of a topology."""

from dataclasses import replace

import pytest

from pgolf.specs.loading import load_spec
from tests.trainer.small import small_recipe
from trainer.recipe.plan import check_plan, execution_plan


def pairs(layers: int) -> list[tuple[str, str]]:
    """Return pairs of blocks connected by a skip."""
    plan = execution_plan(small_recipe(model__topology__layers=layers).model)
    stack: list[str] = []
    found = []
    for execution in plan:
        if execution.pops_skip is not None:
            found.append((stack.pop(), execution.block))
        if execution.pushes_skip:
            stack.append(execution.block)
    assert stack == []
    return found


def test_nine_layers_have_the_skips_of_the_challenge_baseline() -> None:
    assert pairs(9) == [("flat.3", "flat.4"), ("flat.2", "flat.5"), ("flat.1", "flat.6"), ("flat.0", "flat.7")]


def test_one_layer_has_no_skip() -> None:
    assert pairs(1) == []


def test_every_block_runs_once_in_order() -> None:
    plan = execution_plan(load_spec("baseline").spec.recipe.model)
    assert [execution.block for execution in plan] == [f"flat.{layer}" for layer in range(9)]
    assert {execution.rope.dims for execution in plan} == {64}


def test_an_inconsistent_plan_fails_an_assertion() -> None:
    first, *rest = execution_plan(small_recipe().model)
    with pytest.raises(AssertionError, match="empty skip stack"):
        check_plan((replace(first, pushes_skip=False), *rest))
    last = replace(first, pops_skip=None)
    with pytest.raises(AssertionError, match="never used"):
        check_plan((first, *rest, last))
    with pytest.raises(AssertionError, match="skip weights"):
        check_plan((first, *rest[:-1], replace(rest[-1], pops_skip=0)))
