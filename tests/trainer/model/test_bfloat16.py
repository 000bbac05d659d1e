"""Every published recipe gives nearly the same with products and residual stream in bfloat16 as in float32."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

import trainer.runtime.device
from pgolf.specs.loading import load_spec
from pgolf.specs.shipped import shipped_specs
from trainer.model.gpt import GptModel
from trainer.recipe.compute import Compute
from trainer.recipe.recipe import Recipe

NARROW, WIDE = Compute(precision="bfloat16", stream="bfloat16"), Compute()
# What no shipped spec has, on quickstart at micro.
TOPOLOGIES = {
    "lanes": "{kind: flat, layers: 4, parallel_from: 2, parallel: lanes}",
    "sum": "{kind: flat, layers: 4, parallel_from: 2, parallel: sum}",
}


@pytest.fixture(autouse=True)
def has_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer.runtime.device, "cpu_has_bfloat16", lambda: True)  # torch makes do without, slowly


def loss_and_gradients(recipe: Recipe, compute: Compute) -> list[Tensor]:
    """Return those of a model in which every branch counts, with its last plan."""
    torch.manual_seed(0)
    model = GptModel(recipe.model, recipe.vocabulary_size, compute)
    model.follow_progress(1.0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    tokens_BT = torch.randint(recipe.vocabulary_size, (2, 33))
    loss = model.mean_loss(tokens_BT[:, :-1], tokens_BT[:, 1:])
    loss.backward()  # type: ignore[no-untyped-call]
    return [loss.detach(), *(p.grad for p in model.parameters() if p.grad is not None)]


def check(recipe: Recipe) -> None:
    """Check that losses and gradients, all taken together, are close."""
    narrow, wide = (loss_and_gradients(recipe, compute) for compute in (NARROW, WIDE))
    assert len(narrow) == len(wide)
    assert narrow[0].item() == pytest.approx(wide[0].item(), abs=0.05)
    assert narrow[0].item() != wide[0].item()
    ours, theirs = (torch.cat([gradient.flatten() for gradient in found[1:]]) for found in (narrow, wide))
    assert torch.cosine_similarity(ours, theirs, dim=0) > 0.99


@pytest.mark.parametrize("name", sorted(shipped_specs()))
def test_every_shipped_recipe(name: str) -> None:
    check(load_spec(name, ["micro"]).spec.recipe)


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_blocks_side_by_side(topology: str) -> None:
    recipe = load_spec("quickstart", ["micro"], [f"recipe.model.topology={TOPOLOGIES[topology]}"]).spec.recipe
    check(recipe)


def test_asymmetric_softcaps_and_values_of_the_first_block() -> None:
    recipe = load_spec("pr569_value_residual", ["micro"]).spec.recipe
    check(replace(recipe, model=replace(recipe.model, asymmetric_softcap=True)))
