"""Low-rank residuals reduce the largest errors and survive a round trip through the artifact."""

from pathlib import Path

import numpy as np
import torch

from tests.trainer.small import awake_model, small_recipe
from trainer.codec.container import ModelCard, decode_artifact, encode_artifact
from trainer.quantizer.low_rank import low_rank_factors
from trainer.quantizer.quantizer import NOT_CALIBRATED, quantize_model
from trainer.recipe.inventory import inventory
from trainer.recipe.quantizer import LowRankResidual


def test_the_factors_are_the_leading_singular_directions() -> None:
    error = torch.randn(24, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    fine = LowRankResidual(rank=5, bits=8)
    left, right = low_rank_factors(error, fine)
    u, s, v = np.linalg.svd(error.numpy(), full_matrices=False)
    best = (u[:, :5] * s[:5]) @ v[:5]
    found = (left.dequantize().mT @ right.dequantize()).double().numpy()
    assert np.abs(found - best).max() < 0.02 * np.abs(best).max()
    assert left.codes_RC.shape == (5, 24)
    assert right.codes_RC.shape == (5, 40)


def test_the_worst_matrices_lose_less_and_all_come_back_from_disk(tmp_path: Path) -> None:
    plain = small_recipe(quantizer__bits="{default: 3}", quantizer__clip__k="{default: 3.0}")
    recipe = small_recipe(
        quantizer__bits="{default: 3}", quantizer__clip__k="{default: 3.0}", quantizer__residual="{tensors: 2, rank: 6}"
    )
    weights = {name: parameter.detach() for name, parameter in awake_model(recipe).named_parameters()}
    tensors = inventory(recipe.model, recipe.vocabulary_size)
    before = quantize_model(plain.quantizer, tensors, weights, NOT_CALIBRATED).dequantize()
    model = quantize_model(recipe.quantizer, tensors, weights, NOT_CALIBRATED)
    after = model.dequantize()
    lost = {name: float((weights[name] - before[name]).norm()) for name in model.matrices}
    worst = sorted(lost, key=lambda name: lost[name], reverse=True)[:2]
    for name in model.matrices:
        smaller = float((weights[name] - after[name]).norm()) < 0.99 * lost[name]
        assert smaller == (name in worst), name
    card = ModelCard(
        model=recipe.model,
        vocabulary_size=recipe.vocabulary_size,
        quantizer=recipe.quantizer,
        evaluation=recipe.evaluation,
    )
    sizes = encode_artifact(tmp_path / "model.bin", card, model, recipe.codec)
    assert sum(sizes.values()) == (tmp_path / "model.bin").stat().st_size
    found, decoded = decode_artifact(tmp_path / "model.bin")
    assert sorted(found.residuals) == sorted(worst)
    assert all(torch.equal(decoded[name], after[name]) for name in after)
