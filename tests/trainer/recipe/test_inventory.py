"""The inventory equals the built model, for every shipped spec."""

import pytest
import torch

from pgolf.specs.loading import load_spec
from pgolf.specs.shipped import shipped_specs
from trainer.model.gpt import GptModel
from trainer.recipe.inventory import inventory, parameter_groups

CASES = [(name, overlay) for name in shipped_specs() for overlay in ((), ("tiny",), ("micro",))]


@pytest.mark.parametrize(("name", "overlays"), CASES)
def test_names_shapes_and_sizes_equal_those_of_the_model(name: str, overlays: tuple[str, ...]) -> None:
    recipe = load_spec(name, overlays).spec.recipe
    with torch.device("meta"):
        model = GptModel(recipe.model, recipe.vocabulary_size)
    built = {name: (tuple(tensor.shape), tensor.numel()) for name, tensor in model.named_parameters()}
    counted = {tensor.name: (tensor.shape, tensor.size) for tensor in inventory(recipe.model, recipe.vocabulary_size)}
    assert counted == built


def test_the_baseline_has_the_published_number_of_parameters() -> None:
    recipe = load_spec("baseline").spec.recipe
    groups = parameter_groups(inventory(recipe.model, recipe.vocabulary_size))
    assert sum(groups.values()) == 17_059_912
    assert groups == {"embedding": 524_288, "attention": 7_077_888, "mlp": 9_437_184, "control": 20_552}
