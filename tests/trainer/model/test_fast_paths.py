"""Fast and plain paths of a whole model give the same."""

import pytest
import torch

from tests.trainer.small import awake_model, random_tokens, small_recipe
from trainer.recipe.compute import Compute


@pytest.mark.parametrize("key", ["loss", "attention"])
def test_one_key_turns_each_fast_path_of_a_model_off_and_the_loss_stays(key: str) -> None:
    off = {"loss": "plain", "attention": "library"}
    model = awake_model(small_recipe())
    losses, gradients = [], []
    for compute in (Compute(), Compute(**{key: off[key]})):  # type: ignore[arg-type]
        model.compute = compute
        loss = model.mean_loss(random_tokens(2, 40), random_tokens(2, 40, seed=1))
        losses.append(loss.item())
        gradients.append(torch.autograd.grad(loss, list(model.parameters())))
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-6)
    assert any(not torch.equal(one, other) for one, other in zip(*gradients, strict=True))  # it was another path
