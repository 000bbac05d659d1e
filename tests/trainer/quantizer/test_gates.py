"""Gates of attention in 8 bits: compared with rounding by hand, and read back from an artifact."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pgolf.errors import SpecError
from pgolf.specs.loading import load_spec
from tests.trainer.small import awake_model, small_recipe
from trainer.codec.container import ModelCard, decode_artifact, encode_artifact
from trainer.quantizer.quantizer import NOT_CALIBRATED, quantize_model
from trainer.recipe.inventory import inventory
from trainer.recipe.quantizer import GATE, is_quantized
from trainer.recipe.recipe import Recipe


def gated(kind: str = "{kind: dense}", gates: str = "true") -> Recipe:
    return small_recipe(model__attention__gate=kind, quantizer__gates=gates)


def random_weights(recipe: Recipe) -> dict[str, torch.Tensor]:
    """Return weights whose gates are not zero."""
    chance = torch.Generator().manual_seed(3)
    weights = {name: parameter.detach() for name, parameter in awake_model(recipe).named_parameters()}
    gates = {name: torch.randn(w.shape, generator=chance) for name, w in weights.items() if name.endswith(GATE)}
    return weights | gates


@pytest.mark.parametrize("kind", ["{kind: dense}", "{kind: sparse, inputs: 12}"])
def test_gates_are_rounded_by_row_to_multiples_of_their_steps(kind: str, tmp_path: Path) -> None:
    recipe = gated(kind)
    weights, tensors = random_weights(recipe), inventory(recipe.model, recipe.vocabulary_size)
    model = quantize_model(recipe.quantizer, tensors, weights, NOT_CALIBRATED)
    names = [name for name in weights if name.endswith(GATE)]
    assert names and all(name in model.matrices and name not in model.floats for name in names)
    for name in names:
        w_RC = weights[name].double().numpy()
        steps_R = (np.abs(w_RC).max(axis=1) / 127).astype(np.float16).astype(np.float64)
        by_hand = np.clip(np.round(w_RC / steps_R[:, None]), -127, 127) * steps_R[:, None]
        np.testing.assert_allclose(model.dequantize()[name].double().numpy(), by_hand, atol=1e-6)
        assert model.matrices[name].codes_RC.dtype == torch.int8
    card = ModelCard(
        model=recipe.model,
        vocabulary_size=recipe.vocabulary_size,
        quantizer=recipe.quantizer,
        evaluation=recipe.evaluation,
    )
    encode_artifact(tmp_path / "model.bin", card, model, recipe.codec)
    _, decoded = decode_artifact(tmp_path / "model.bin")
    assert all(torch.equal(decoded[name], found) for name, found in model.dequantize().items())


def test_gates_are_floats_unless_the_recipe_says_otherwise() -> None:
    for recipe, expected in ((gated(), True), (gated(gates="false"), False)):
        tensors = inventory(recipe.model, recipe.vocabulary_size)
        controls = [tensor for tensor in tensors if tensor.group == "control"]
        quantized = {tensor.name for tensor in controls if is_quantized(recipe.quantizer, tensor)}
        assert quantized == {tensor.name for tensor in controls if tensor.name.endswith(GATE) and expected}


def test_steps_by_sensitivity_refuse_gates() -> None:
    with pytest.raises(SpecError, match="leave them as floats with `steps`"):
        small_recipe(model__attention__gate="{kind: dense}", quantizer__gates="true", quantizer__steps="{kind: fisher}")


def test_a_trellis_refuses_gates() -> None:
    with pytest.raises(SpecError, match="do not follow the trellis"):
        load_spec("frontier", ["micro"], ["recipe.quantizer.steps=null", "recipe.quantizer.gates=true"])
