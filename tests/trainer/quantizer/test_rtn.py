"""RoundToNearest: the grid, its clip, and no hidden floor of the step."""

import numpy as np
import pytest
import torch

from tests.trainer.small import small_recipe
from trainer.quantizer.clip import row_percentiles
from trainer.quantizer.rtn import RoundToNearest
from trainer.runtime.failure import TrainingFailed


def quantizer(**changes: object) -> RoundToNearest:
    return RoundToNearest(small_recipe(**{f"quantizer__{key}": value for key, value in changes.items()}).quantizer)


def gaussian(seed: int = 0) -> torch.Tensor:
    return torch.randn(16, 256, generator=torch.Generator().manual_seed(seed))


def test_codes_and_steps_equal_the_formula() -> None:
    w_RC = gaussian()
    found = quantizer(bits="{default: 6}", clip__k="{default: 12.85}").quantize("flat.0.mlp.up", w_RC)
    w = w_RC.double().numpy()
    steps = (12.85 * w.std(axis=1, ddof=1) / 31).astype(np.float16)
    expected = np.clip(np.rint(w / steps.astype(np.float64)[:, None]), -31, 31)
    assert np.array_equal(found.steps_R.numpy(), steps)
    assert (found.codes_RC.numpy() != expected).sum() == 0


def test_weights_inside_the_clip_change_by_at_most_half_a_step() -> None:
    w_RC = gaussian()
    found = quantizer().quantize("flat.0.mlp.up", w_RC)
    half_RC = found.steps_R.float()[:, None] / 2 * (1 + 1e-5)
    assert bool(((found.dequantize() - w_RC).abs() <= half_RC).all())


def test_codes_do_not_depend_on_the_scale_of_a_row() -> None:
    w_RC = gaussian()
    large, small = (quantizer().quantize("flat.0.mlp.up", w_RC * scale).codes_RC for scale in (1.0, 2.0**-7))
    assert torch.equal(large, small)  # with the published floor of 1 / levels the small rows would be all zeros


def test_a_scale_floor_in_the_recipe_is_applied() -> None:
    found = quantizer(scale_floor="{default: 0.5}").quantize("flat.0.mlp.up", gaussian() * 0.01)
    assert (found.steps_R == 0.5).all()
    assert (found.codes_RC == 0).all()


def test_a_row_of_zeros_stays_zero() -> None:
    found = quantizer().quantize("flat.0.mlp.down", torch.zeros(3, 8))
    assert torch.equal(found.dequantize(), torch.zeros(3, 8))


@pytest.mark.parametrize("bad", [torch.full((2, 8), 0.25), torch.tensor([[float("nan"), 1.0]])])
def test_a_row_without_a_grid_is_refused_by_name(bad: torch.Tensor) -> None:
    with pytest.raises(TrainingFailed, match=r"flat\.0\.mlp\.up"):
        quantizer().quantize("flat.0.mlp.up", bad)


def test_bits_and_clip_depend_on_the_name() -> None:
    rounding = quantizer(bits="{default: 3, embedding: 8}", clip__k="{default: 2, embedding: 20}")
    assert rounding.quantize("flat.0.mlp.up", gaussian()).codes_RC.abs().max() == 3
    assert rounding.quantize("embedding.tokens", gaussian()).codes_RC.abs().max() > 15


def test_percentiles_equal_numpy() -> None:
    w_RC = gaussian().abs()
    expected = np.percentile(w_RC.double().numpy(), 99.5, axis=1)
    np.testing.assert_allclose(row_percentiles(w_RC, 99.5).numpy(), expected, rtol=1e-5)
