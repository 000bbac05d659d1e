"""Pruning of weights, and fitting by setting codes to zero."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.trainer.small import awake_model, small_recipe
from trainer.codec.container import ModelCard, encoded_bytes
from trainer.quantizer.fitting import fit_to_bytes
from trainer.quantizer.pruning import prune_smallest
from trainer.quantizer.quantizer import NOT_CALIBRATED, QuantizedModel, quantize_model
from trainer.recipe.inventory import inventory
from trainer.recipe.quantizer import Grid
from trainer.runtime.failure import TrainingFailed


def quantized() -> tuple[QuantizedModel, int, "ModelSize"]:
    recipe = small_recipe(quantizer__bits="{default: 5}", quantizer__clip__k="{default: 6.0}")
    weights = {name: parameter.detach() for name, parameter in awake_model(recipe).named_parameters()}
    model = quantize_model(recipe.quantizer, inventory(recipe.model, recipe.vocabulary_size), weights, NOT_CALIBRATED)
    card = ModelCard(
        model=recipe.model,
        vocabulary_size=recipe.vocabulary_size,
        quantizer=recipe.quantizer,
        evaluation=recipe.evaluation,
    )
    size = ModelSize(card, recipe.codec)
    return model, size(model), size


class ModelSize:
    """Bytes of an artifact; counts how often they are computed."""

    def __init__(self, card: ModelCard, codec: object) -> None:
        self.card, self.codec, self.asked = card, codec, 0

    def __call__(self, model: QuantizedModel) -> int:
        self.asked += 1
        return encoded_bytes(self.card, model, self.codec)  # type: ignore[arg-type]


def zeros(model: QuantizedModel) -> int:
    return sum(int((matrix.codes_RC == 0).sum()) for matrix in model.matrices.values())


def nothing() -> None: ...


def fitting(limit: int, *patterns: str) -> Grid:
    names = f"[{', '.join(patterns)}]" if patterns else '["*"]'
    return small_recipe(quantizer__fit_bytes=limit, quantizer__fitted=names).quantizer


def test_with_equal_steps_only_as_many_codes_as_needed_are_zeroed_and_only_in_named_matrices() -> None:
    model, _, size_of = quantized()
    even = {name: replace(m, steps_R=torch.full_like(m.steps_R, 0.03)) for name, m in model.matrices.items()}
    model = QuantizedModel(even, model.floats)
    fitted, count = fit_to_bytes(model, fitting(size_of(model) - 200, "flat.1"), size_of, nothing)
    changed = {
        name: int((matrix.codes_RC != fitted.matrices[name].codes_RC).sum()) for name, matrix in model.matrices.items()
    }
    units = sum(int((matrix.codes_RC.abs() == 1).sum()) for matrix in model.matrices.values())
    assert sum(changed.values()) == count < units / 10
    assert {name for name, codes in changed.items() if codes} <= {
        name for name in changed if name.startswith("flat.1.")
    }


def test_a_model_that_fits_is_unchanged() -> None:
    model, size, size_of = quantized()
    assert fit_to_bytes(model, fitting(size), size_of, nothing) == (model, 0)


def test_codes_of_one_with_the_smallest_steps_are_zeroed_until_it_fits() -> None:
    model, size, size_of = quantized()
    limit = size - 400
    fitted, count = fit_to_bytes(model, fitting(limit), size_of, nothing)
    assert size_of(fitted) <= limit
    assert size_of.asked < 25
    changed, kept = [], []
    for name, matrix in model.matrices.items():
        before, after = matrix.codes_RC.numpy(), fitted.matrices[name].codes_RC.numpy()
        steps = np.broadcast_to(matrix.steps_R.numpy()[:, None], before.shape)
        is_changed = before != after
        assert set(np.abs(before[is_changed])) <= {1}
        assert not after[is_changed].any()
        changed += steps[is_changed].tolist()
        kept += steps[(np.abs(after) == 1)].tolist()
    assert len(changed) == count > 0
    assert max(changed) <= min(kept)
    assert zeros(fitted) - zeros(model) == len(changed)


def test_a_model_that_cannot_fit_is_an_error_with_numbers() -> None:
    model, _, size_of = quantized()
    with pytest.raises(TrainingFailed, match=r"does not fit into fit_bytes 1,000 even with all [\d,]+ codes"):
        fit_to_bytes(model, fitting(1_000), size_of, nothing)


@pytest.mark.parametrize("share", [0.0, 0.15, 0.5])
def test_the_smallest_weights_are_pruned(share: float) -> None:
    w_RC = torch.randn(20, 30, generator=torch.Generator().manual_seed(0))
    pruned = prune_smallest(w_RC, share)
    assert int((pruned == 0).sum()) == int(share * 600)
    threshold = np.sort(w_RC.abs().numpy().ravel())[int(share * 600)]
    assert torch.equal(pruned, torch.where(w_RC.abs() >= threshold, w_RC, 0.0))
