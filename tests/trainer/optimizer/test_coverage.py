"""A parameter that is not trained is an error that names it."""

import pytest
import torch

from tests.trainer.small import random_tokens, small_muon, small_recipe
from trainer.model.gpt import GptModel
from trainer.optimizer.coverage import STEPS_TO_MOVE, MovementCheck, check_groups
from trainer.optimizer.muon_adamw import MuonAdamWOptimizer
from trainer.recipe.inventory import inventory
from trainer.runtime.failure import TrainingFailed


def test_a_tensor_in_no_group_is_named_with_its_bytes() -> None:
    parameters = {"a": torch.zeros(2, 3), "b": torch.zeros(5)}
    with pytest.raises(TrainingFailed, match=r"b \(5,\), up to 10 bytes of the artifact, is in no optimizer group"):
        check_groups(parameters, [["a"]])


def test_a_tensor_in_two_groups_is_named() -> None:
    with pytest.raises(TrainingFailed, match="a is in two"):
        check_groups({"a": torch.zeros(1)}, [["a"], ["a"]])


def test_a_parameter_outside_the_inventory_is_refused_by_the_optimizer() -> None:
    recipe = small_recipe()
    model = GptModel(recipe.model, recipe.vocabulary_size)
    parameters = dict(model.named_parameters()) | {"loop.instruction": torch.nn.Parameter(torch.zeros(4))}
    with pytest.raises(TrainingFailed, match=r"loop\.instruction"):
        MuonAdamWOptimizer(small_muon(), inventory(recipe.model, recipe.vocabulary_size), parameters)


def small_model() -> tuple[GptModel, MuonAdamWOptimizer]:
    recipe = small_recipe()
    model = GptModel(recipe.model, recipe.vocabulary_size)
    tensors = inventory(recipe.model, recipe.vocabulary_size)
    return model, MuonAdamWOptimizer(small_muon(), tensors, dict(model.named_parameters()))


def train(model: GptModel, optimizer: MuonAdamWOptimizer, check: MovementCheck, still: str = "") -> None:
    """Train for STEPS_TO_MOVE steps and check; the gradient of `still` is always zero."""
    parameters = dict(model.named_parameters())
    for step in range(STEPS_TO_MOVE):
        model(random_tokens(1, 16)).square().mean().backward()
        if still:
            parameters[still].grad = torch.zeros_like(parameters[still])
        check.before_update()
        optimizer.step(step, 1.0)
        optimizer.forget_gradients()
    check.check()


def test_every_parameter_of_the_model_passes() -> None:
    model, optimizer = small_model()
    check = MovementCheck(dict(model.named_parameters()))
    train(model, optimizer, check)
    assert all(check.has_gradient.values())
    assert not any(torch.equal(check.initial[name], parameter) for name, parameter in model.named_parameters())


@pytest.mark.parametrize("name", ["flat.1.mlp.down", "flat.0.attention.q_gain"])
def test_a_parameter_without_gradient_is_named_before_the_optimizer_sees_it(name: str) -> None:
    model, _ = small_model()
    check = MovementCheck(dict(model.named_parameters()))
    model(random_tokens(1, 16)).square().mean().backward()
    dict(model.named_parameters())[name].grad = None
    with pytest.raises(TrainingFailed, match=rf"{name} .* receives no gradient"):
        check.before_update()


def test_a_parameter_that_only_decays_is_named() -> None:
    model, optimizer = small_model()
    with pytest.raises(TrainingFailed, match=r"flat\.2\.mlp\.up .* only zero gradients"):
        train(model, optimizer, MovementCheck(dict(model.named_parameters())), still="flat.2.mlp.up")


def test_a_parameter_that_does_not_move_is_named() -> None:
    moving, frozen = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2))
    check = MovementCheck({"moving": moving, "frozen": frozen})
    moving.grad = frozen.grad = torch.ones(2)
    check.before_update()
    with torch.no_grad():
        moving.add_(1.0)
    with pytest.raises(TrainingFailed, match=r"frozen .* has not moved in 4 steps"):
        check.check()
