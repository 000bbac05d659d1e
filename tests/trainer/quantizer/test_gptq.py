"""GPTQ against an elimination by explicit inverses in float64, and against rounding to nearest."""

import pytest
import torch
from torch import Tensor

import trainer.quantizer.feedback
from trainer.quantizer.feedback import column_order, damp, feedbacks_of
from trainer.quantizer.gptq import GptqQuantizer
from trainer.quantizer.matrix import QuantizedMatrix
from trainer.quantizer.rtn import RoundToNearest
from trainer.recipe.quantizer import Bits, DeviationClip, Gptq, TrainingText
from trainer.runtime.failure import TrainingFailed

NAME = "flat.0.mlp.up"


def recipe(**changes: object) -> Gptq:
    values: dict[str, object] = {
        "kind": "gptq",
        "bits": {"default": 4},
        "clip": DeviationClip(kind="deviations", k={"default": 3.0}),
        "calibration": TrainingText(kind="training", sequences=1),
    }
    return Gptq(**values | changes)  # type: ignore[arg-type]


def compensating(gptq: Gptq, hessians: dict[str, Tensor]) -> GptqQuantizer:
    return GptqQuantizer(gptq, feedbacks_of(gptq, hessians))


def weights(rows: int, columns: int, seed: int = 0) -> Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


def correlated_hessian(columns: int, seed: int = 1) -> Tensor:
    """Second moments of inputs with a few strong common directions, and columns of unequal energy."""
    generator = torch.Generator().manual_seed(seed)
    common = torch.randn(400, 4, generator=generator, dtype=torch.float64)
    mixing = torch.randn(4, columns, generator=generator, dtype=torch.float64)
    inputs = common @ mixing + 0.5 * torch.randn(400, columns, generator=generator, dtype=torch.float64)
    return (inputs * torch.linspace(0.2, 2.0, columns, dtype=torch.float64)).T @ inputs.mul(
        torch.linspace(0.2, 2.0, columns, dtype=torch.float64)
    )


def damage(w_RC: Tensor, quantized: QuantizedMatrix, hessian_CC: Tensor) -> float:
    """Return the sum over rows of (w - q) H (w - q)^T, the squared output error on the calibration text."""
    error_RC = (w_RC - quantized.dequantize()).double()
    return float(((error_RC @ hessian_CC) * error_RC).sum())


def by_explicit_inverses(w_RC: Tensor, hessian_CC: Tensor, quantized: QuantizedMatrix, gptq: Gptq) -> Tensor:
    """Return the weights after an elimination that inverts the Hessian of the remaining columns at each column."""
    w = w_RC.double().clone()
    steps_R = quantized.steps_R.double()
    levels = 2 ** (gptq.bits["default"] - 1) - 1
    hessian_CC = damp(hessian_CC.double(), gptq.damping)
    left = column_order(hessian_CC.diagonal(), gptq.order).tolist()
    while left:
        inverse = torch.linalg.inv(hessian_CC[left][:, left])
        column, rest = left[0], left[1:]
        rounded_R = (w[:, column] / steps_R).round().clamp(-levels, levels) * steps_R
        error_R = (w[:, column] - rounded_R) / inverse[0, 0]
        w[:, column] = rounded_R
        w[:, rest] -= error_R[:, None] * inverse[0, 1:][None]
        left = rest
    return w


@pytest.mark.parametrize("order", ["descending", "natural", "ascending"])
@pytest.mark.parametrize("block", [1, 5, 128])
def test_codes_equal_elimination_by_explicit_inverses(order: str, block: int) -> None:
    w_RC, hessian_CC, gptq = weights(7, 24), correlated_hessian(24), recipe(order=order, block=block)
    found = compensating(gptq, {NAME: hessian_CC}).quantize_all({NAME: w_RC})[NAME]
    expected_RC = by_explicit_inverses(w_RC, hessian_CC, found, gptq)
    torch.testing.assert_close(found.dequantize().double(), expected_RC, atol=1e-5, rtol=0)


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 7, 8])
def test_the_output_error_is_below_rounding_to_nearest_for_all_bits(bits: Bits) -> None:
    w_RC, hessian_CC, gptq = weights(32, 96), correlated_hessian(96), recipe(bits={"default": bits})
    compensated = compensating(gptq, {NAME: hessian_CC}).quantize_all({NAME: w_RC})[NAME]
    nearest = RoundToNearest(gptq).quantize(NAME, w_RC)
    assert torch.equal(compensated.steps_R, nearest.steps_R)
    assert damage(w_RC, compensated, hessian_CC) < 0.8 * damage(w_RC, nearest, hessian_CC)


def test_uncorrelated_inputs_give_rounding_to_nearest() -> None:
    w_RC, hessian_CC = weights(8, 40), torch.diag(torch.rand(40, generator=torch.Generator().manual_seed(2)))
    found = compensating(recipe(), {NAME: hessian_CC}).quantize_all({NAME: w_RC})[NAME]
    assert torch.equal(found.codes_RC, RoundToNearest(recipe()).quantize(NAME, w_RC).codes_RC)


def test_inputs_without_energy_do_no_harm() -> None:
    w_RC = weights(8, 12)
    found = compensating(recipe(), {NAME: torch.zeros(12, 12)}).quantize_all({NAME: w_RC})[NAME]
    assert torch.equal(found.codes_RC, RoundToNearest(recipe()).quantize(NAME, w_RC).codes_RC)


def test_a_matrix_without_a_hessian_is_rounded_to_nearest() -> None:
    w_RC = weights(8, 12)
    found = GptqQuantizer(recipe(), {}).quantize_all({NAME: w_RC})[NAME]
    assert torch.equal(found.codes_RC, RoundToNearest(recipe()).quantize(NAME, w_RC).codes_RC)


def test_a_hessian_that_is_not_positive_definite_is_named() -> None:
    hessians = {f"flat.{n}.mlp.up": correlated_hessian(12, seed=n) - 300 * (n == 2) * torch.eye(12) for n in range(4)}
    matrices = {name: weights(4, 12) for name in hessians}
    with pytest.raises(TrainingFailed, match=r"flat\.2\.mlp\.up are not positive definite; raise"):
        compensating(recipe(), hessians).quantize_all(matrices)


@pytest.mark.parametrize("order", ["descending", "natural"])
@pytest.mark.parametrize("most", [1, 2, 100])
def test_matrices_quantized_together_equal_each_quantized_alone(
    order: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer.quantizer.feedback, "STACK_VALUES", most * 7 * 24)
    bits = {"default": 4, "flat.1.mlp.up": 6, "flat.3.*": 2}
    matrices = {f"flat.{n}.mlp.up": (1 + n) * weights(7, 24, seed=n) for n in range(5)} | {"wide": weights(5, 40)}
    matrices |= {"flat.5.mlp.up": torch.zeros(7, 24), "flat.6.mlp.up": weights(7, 24, seed=6), "nearest": weights(3, 9)}
    hessians = {name: correlated_hessian(w.size(1), seed=len(name) + n) for n, (name, w) in enumerate(matrices.items())}
    hessians["flat.6.mlp.up"] = torch.zeros(24, 24)  # never seen
    del hessians["nearest"]
    quantizer = compensating(recipe(order=order, block=5, bits=bits), hessians)
    together = quantizer.quantize_all(matrices)
    assert list(together) == list(matrices)
    for name, w_RC in matrices.items():
        alone = quantizer.quantize_all({name: w_RC})[name]
        assert torch.equal(together[name].codes_RC, alone.codes_RC), name
        assert torch.equal(together[name].steps_R, alone.steps_R), name
    assert together["flat.3.mlp.up"].codes_RC.abs().max() == 1


def test_the_published_inverse_loses_more_than_its_cholesky_factor() -> None:
    w_RC, hessian_CC = weights(32, 96), correlated_hessian(96)
    right, published = (
        damage(w_RC, compensating(rounding, {NAME: hessian_CC}).quantize_all({NAME: w_RC})[NAME], hessian_CC)
        for rounding in (recipe(), recipe(published_inverse=True))
    )
    assert right < published
