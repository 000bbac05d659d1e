"""MuonAdamWOptimizer: groups, learning rates and gradient clipping."""

import pytest
import torch

from tests.trainer.small import awake_model, random_tokens, small_recipe
from trainer.model.gpt import GptModel
from trainer.optimizer.muon_adamw import MuonAdamWOptimizer
from trainer.optimizer.pass_clipping import backpropagate_clipped
from trainer.recipe.inventory import inventory
from trainer.recipe.optimizer import MuonAdamW, Taper
from trainer.recipe.recipe import Recipe


def optimizer_of(recipe: Recipe, model: GptModel) -> MuonAdamWOptimizer:
    assert isinstance(recipe.optimizer, MuonAdamW)
    tensors = inventory(recipe.model, recipe.vocabulary_size)
    return MuonAdamWOptimizer(recipe.optimizer, tensors, dict(model.named_parameters()))


def moved(**rates: float) -> set[str]:
    """Return the groups whose weights change in three steps with these learning rates."""
    recipe = small_recipe(**{f"optimizer__{name}": rate for name, rate in rates.items()})
    torch.manual_seed(0)
    model = GptModel(recipe.model, recipe.vocabulary_size)
    tensors = inventory(recipe.model, recipe.vocabulary_size)
    optimizer = optimizer_of(recipe, model)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    for step in range(3):
        model(random_tokens(1, 16)).square().mean().backward()
        optimizer.step(step, 1.0)
        optimizer.forget_gradients()
    groups = {tensor.name: tensor.group for tensor in tensors}
    return {groups[name] for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}


def test_each_learning_rate_moves_its_own_group() -> None:
    still = {"matrix_lr": 0.0, "embedding_lr": 0.0, "scalar_lr": 0.0}
    assert moved(**still) == set()
    assert moved(**still | {"matrix_lr": 0.1}) == {"attention", "mlp"}
    assert moved(**still | {"embedding_lr": 0.1}) == {"embedding"}
    assert moved(**still | {"scalar_lr": 0.1, "matrix_lr": 0.1}) == {"attention", "mlp", "control"}


def test_adamw_takes_its_closed_form_first_step() -> None:
    recipe = small_recipe(optimizer__weight_decay=0.5, optimizer__embedding_lr=0.1)
    torch.manual_seed(0)
    model = GptModel(recipe.model, recipe.vocabulary_size)
    optimizer = optimizer_of(recipe, model)
    table = model.embedding.tokens
    before = table.detach().clone()
    model(random_tokens(1, 16)).square().mean().backward()
    assert table.grad is not None
    gradient = table.grad.clone()
    optimizer.step(0, 0.5)
    # After bias correction the first step is lr * g / (|g| + eps), after the decoupled decay.
    expected = before * (1 - 0.05 * 0.5) - 0.05 * gradient / (gradient.abs() + 1e-8)
    torch.testing.assert_close(table.detach(), expected)


@pytest.mark.parametrize(
    ("name", "decay"), [("embedding.tokens", 0.25), ("flat.0.attention.q_gain", 0.125), ("flat.0.mlp_scale", 0.125)]
)
def test_embeddings_and_gains_decay_by_amounts_of_their_own(name: str, decay: float) -> None:
    decays = {"weight_decay": 0.5, "embedding_weight_decay": 0.25, "scalar_weight_decay": 0.125}
    rates = {"embedding_lr": 0.1, "scalar_lr": 0.1}
    recipe = small_recipe(**{f"optimizer__{key}": value for key, value in (decays | rates).items()})
    model = awake_model(recipe)
    parameter = model.get_parameter(name)
    before = parameter.detach().clone()
    model(random_tokens(1, 16)).square().mean().backward()
    assert parameter.grad is not None
    gradient = parameter.grad.clone()
    optimizer_of(recipe, model).step(0, 1.0)
    expected = before * (1 - 0.1 * decay) - 0.1 * gradient / (gradient.abs() + 1e-8)
    torch.testing.assert_close(parameter.detach(), expected)


def test_the_gradient_norm_is_clipped_over_all_parameters() -> None:
    recipe = small_recipe(optimizer__clip_norm=0.01)
    model = GptModel(recipe.model, recipe.vocabulary_size)
    optimizer = optimizer_of(recipe, model)
    (100 * model(random_tokens(1, 16)).square().mean()).backward()
    optimizer.step(0, 0.0)
    squares = [parameter.grad.square().sum() for parameter in model.parameters() if parameter.grad is not None]
    assert abs(torch.stack(squares).sum().sqrt().item() - 0.01) < 1e-4


def test_each_pass_is_clipped_before_the_gradients_are_added() -> None:
    """Gradients 3 and -4 with norms clipped to 0.5 add up to 0; their sum, clipped, would be -0.5."""
    weight = torch.zeros(2, requires_grad=True)
    for slope in (3.0, -4.0, 0.25):
        backpropagate_clipped(slope * weight[0], [weight], 0.5)
    assert weight.grad is not None
    assert weight.grad.tolist() == pytest.approx([0.25, 0.0], abs=1e-5)


def test_weight_decay_tapers_linearly_from_its_start() -> None:
    taper = Taper(start=0.7, end=0.5)  # of #1729: x (1 - 0.5 (f - 0.7) / 0.3)
    assert [taper.factor(f) for f in (0.0, 0.7, 0.85, 1.0)] == pytest.approx([1.0, 1.0, 0.75, 0.5])
