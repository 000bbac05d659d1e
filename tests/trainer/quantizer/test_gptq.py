"""GPTQ against an elimination by explicit inverses in float64, and against rounding to nearest."""

import pytest
import torch
from torch import Tensor

from trainer.quantizer.gptq import GptqQuantizer, column_order, damped
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
    """Sum over rows of (w - q) H (w - q)^T: what the outputs lose on the calibration text."""
    error_RC = (w_RC - quantized.dequantize()).double()
    return float(((error_RC @ hessian_CC) * error_RC).sum())


def by_explicit_inverses(w_RC: Tensor, hessian_CC: Tensor, quantized: QuantizedMatrix, gptq: Gptq) -> Tensor:
    """The weights after an elimination that inverts the Hessian of the columns left, anew for each column."""
    w = w_RC.double().clone()
    steps_R = quantized.steps_R.double()
    levels = 2 ** (gptq.bits["default"] - 1) - 1
    hessian_CC = damped(hessian_CC.double(), gptq.damping)
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
def test_it_is_elimination_by_explicit_inverses(order: str, block: int) -> None:
    w_RC, hessian_CC, gptq = weights(7, 24), correlated_hessian(24), recipe(order=order, block=block)
    found = GptqQuantizer(gptq, {NAME: hessian_CC}).quantize(NAME, w_RC)
    expected_RC = by_explicit_inverses(w_RC, hessian_CC, found, gptq)
    torch.testing.assert_close(found.dequantize().double(), expected_RC, atol=1e-5, rtol=0)


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 7, 8])
def test_outputs_lose_less_than_by_rounding_to_nearest_at_every_width(bits: Bits) -> None:
    w_RC, hessian_CC, gptq = weights(32, 96), correlated_hessian(96), recipe(bits={"default": bits})
    compensated = GptqQuantizer(gptq, {NAME: hessian_CC}).quantize(NAME, w_RC)
    nearest = RoundToNearest(gptq).quantize(NAME, w_RC)
    assert torch.equal(compensated.steps_R, nearest.steps_R)
    assert damage(w_RC, compensated, hessian_CC) < 0.8 * damage(w_RC, nearest, hessian_CC)


def test_it_is_rounding_to_nearest_when_inputs_are_not_correlated() -> None:
    w_RC, hessian_CC = weights(8, 40), torch.diag(torch.rand(40, generator=torch.Generator().manual_seed(2)))
    found = GptqQuantizer(recipe(), {NAME: hessian_CC}).quantize(NAME, w_RC)
    assert torch.equal(found.codes_RC, RoundToNearest(recipe()).quantize(NAME, w_RC).codes_RC)


def test_inputs_that_were_never_seen_do_no_harm() -> None:
    w_RC = weights(8, 12)
    found = GptqQuantizer(recipe(), {NAME: torch.zeros(12, 12)}).quantize(NAME, w_RC)
    assert torch.equal(found.codes_RC, RoundToNearest(recipe()).quantize(NAME, w_RC).codes_RC)


def test_a_matrix_without_a_hessian_is_rounded_to_nearest() -> None:
    w_RC = weights(8, 12)
    found = GptqQuantizer(recipe(), {}).quantize(NAME, w_RC)
    assert torch.equal(found.codes_RC, RoundToNearest(recipe()).quantize(NAME, w_RC).codes_RC)


def test_second_moments_that_are_not_positive_definite_are_named() -> None:
    with pytest.raises(TrainingFailed, match=r"not positive definite; raise quantizer\.damping"):
        GptqQuantizer(recipe(), {NAME: correlated_hessian(12) - 300 * torch.eye(12)}).quantize(NAME, weights(4, 12))


def test_the_published_inverse_loses_more_than_its_cholesky_factor() -> None:
    w_RC, hessian_CC = weights(32, 96), correlated_hessian(96)
    right, published = (
        damage(
            w_RC, GptqQuantizer(recipe(published_inverse=quirk), {NAME: hessian_CC}).quantize(NAME, w_RC), hessian_CC
        )
        for quirk in (False, True)
    )
    assert right < published
