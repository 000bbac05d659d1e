"""A parameter that is not trained is named."""

import pytest
import torch

from tests.trainer.small import small_recipe
from trainer.model.gpt import GptModel
from trainer.optimizer.coverage import MovementCheck, check_groups
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
        MuonAdamWOptimizer(recipe.optimizer, inventory(recipe.model, recipe.vocabulary_size), parameters)


def test_a_parameter_without_gradient_is_named() -> None:
    used, unused = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2))
    check = MovementCheck({"used": used, "unused": unused})
    used.sum().backward()  # type: ignore[no-untyped-call]
    with pytest.raises(TrainingFailed, match=r"unused .* receives no gradient"):
        check.after_step(0)


def test_a_parameter_that_stays_is_named_at_the_fourth_step() -> None:
    moving, frozen = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2))
    check = MovementCheck({"moving": moving, "frozen": frozen})
    for step in range(3):
        moving.grad = frozen.grad = torch.ones(2)
        with torch.no_grad():
            moving.add_(1.0)
        check.after_step(step)
    with pytest.raises(TrainingFailed, match=r"frozen .* has not moved in 4 steps"):
        check.after_step(3)
