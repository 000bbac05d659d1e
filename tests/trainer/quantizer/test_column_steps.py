"""Steps of columns: against explicit inverses, and the gain that reverse water-filling promises."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.trainer.quantizer.test_gptq import NAME, correlated_hessian, damage, recipe, weights
from trainer.quantizer.column_steps import (
    column_exponents,
    column_steps,
    divided_by_columns,
    in_column_steps,
    measured_columns,
)
from trainer.quantizer.feedback import Feedback, damp, feedbacks_of
from trainer.quantizer.fisher_grid import FisherGrids
from trainer.quantizer.gptq import GptqQuantizer
from trainer.quantizer.matrix import QuantizedMatrix
from trainer.quantizer.quantizer import NOT_CALIBRATED
from trainer.recipe.quantizer import DeviationClip, FisherSteps
from trainer.recipe.strict import RecipeConflict

COLUMNS = 48
ROUNDING = recipe(bits={"default": 8}, clip=DeviationClip(kind="deviations", k={"default": 12.0}))


def feedback_of(hessian_CC: Tensor) -> Feedback:
    return feedbacks_of(ROUNDING, {NAME: hessian_CC})[NAME]


def test_the_factor_holds_what_explicit_inverses_leave_of_each_input() -> None:
    hessian_CC = correlated_hessian(COLUMNS)
    found, damped_CC = feedback_of(hessian_CC), damp(hessian_CC, ROUNDING.damping)
    for place in range(COLUMNS):
        left_N = found.order_C[place:]
        inverse_NN = torch.linalg.inv(damped_CC[left_N][:, left_N])
        assert float(found.factor_CC[place, place]) ** 2 == pytest.approx(float(inverse_NN[0, 0]), rel=1e-5)


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_steps_are_inverse_to_the_root_of_the_energy(strength: float) -> None:
    feedback = feedback_of(correlated_hessian(COLUMNS))
    steps_C = column_steps(column_exponents(feedback, strength))[feedback.order_C]
    level_C = steps_C.log2() - strength * feedback.factor_CC.diagonal().log2()
    assert (level_C - level_C.mean()).abs().max() < 1 / 4  # steps are on a grid of quarter octaves


def code_bits(quantized: QuantizedMatrix) -> float:
    """Return the entropy of the codes in bits a weight, each column with a histogram of its own."""
    shares = [torch.unique(codes_R, return_counts=True)[1] / len(codes_R) for codes_R in quantized.codes_RC.mT]
    return sum(float(-(share * share.log2()).sum()) for share in shares) / len(shares)


def test_at_equal_bits_the_damage_falls_as_the_mean_of_energies_to_their_geometric_mean() -> None:
    size_C = torch.logspace(-0.5, 0.5, COLUMNS, dtype=torch.float64)[
        torch.randperm(COLUMNS, generator=torch.Generator().manual_seed(3))
    ]
    hessian_CC, w_RC = size_C[:, None] * correlated_hessian(COLUMNS) * size_C, weights(4096, COLUMNS)
    feedback = feedback_of(hessian_CC)
    plain = GptqQuantizer(ROUNDING, {NAME: feedback}).quantize_all({NAME: w_RC})[NAME]
    exponents_C = column_exponents(feedback, 1.0)
    step_C = column_steps(exponents_C)
    found = GptqQuantizer(ROUNDING, in_column_steps({NAME: feedback}, {NAME: exponents_C})).quantize_all(
        {NAME: w_RC / step_C}
    )[NAME]
    error_RC = (w_RC - found.dequantize() * step_C).double()
    with_steps = float(((error_RC @ damp(hessian_CC, ROUNDING.damping)) * error_RC).sum())
    without = damage(w_RC, plain, damp(hessian_CC, ROUNDING.damping))
    at_equal_bits = with_steps / without * 4 ** (code_bits(found) - code_bits(plain))
    energy_C = feedback.factor_CC.diagonal() ** -2
    promised = float(energy_C.log().mean().exp() / energy_C.mean())
    assert promised < 0.7
    assert at_equal_bits == pytest.approx(promised, rel=0.08)


def test_the_bits_that_clips_give_are_kept_whatever_the_column_steps() -> None:
    size_C = torch.logspace(-1, 1, 128, dtype=torch.float64)
    hessian_CC, w_RC = size_C[:, None] * correlated_hessian(128) * size_C, weights(512, 128)
    bits = {}
    for strength in (0.0, 0.8):
        steps = FisherSteps(kind="fisher", column=strength)
        rounding = replace(ROUNDING, clip=DeviationClip(kind="deviations", k={"default": 60.0}), steps=steps)
        measured = replace(NOT_CALIBRATED, feedbacks=feedbacks_of(rounding, {NAME: hessian_CC}))
        measured = replace(measured_columns(measured, strength), costs={NAME: torch.ones(512, dtype=torch.float64)})
        grids = FisherGrids(rounding, steps, {NAME: w_RC}, measured)
        found = GptqQuantizer(rounding, measured.feedbacks, grids)
        codes = found.quantize_all(divided_by_columns({NAME: w_RC}, measured.columns))[NAME]
        bits[strength] = code_bits(codes)
        assert grids.summary()[0]["bits"] == pytest.approx(bits[strength], rel=0.06)
    assert bits[0.8] == pytest.approx(bits[0.0], rel=0.06)


def test_published_feedback_has_no_column_steps() -> None:
    with pytest.raises(RecipeConflict, match="published_inverse"):
        replace(ROUNDING, published_inverse=True, steps=FisherSteps(kind="fisher"))
