"""Sensitivity of rows: against the measured divergence of perturbed models, and GPTQ's own errors."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.trainer.quantizer.test_calibration import LOOPED, gptq, nothing
from tests.trainer.quantizer.test_gptq import NAME, correlated_hessian, recipe, weights
from tests.trainer.small import awake_model, random_tokens, small_recipe
from trainer.model.gpt import GptModel
from trainer.quantizer.calibration import calibrate
from trainer.quantizer.column_steps import in_natural_order
from trainer.quantizer.feedback import feedbacks_of
from trainer.quantizer.fisher_grid import spread_of
from trainer.quantizer.gptq import GptqQuantizer
from trainer.quantizer.sensitivity import collect_row_costs, draw_errors
from trainer.recipe.inventory import inventory
from trainer.recipe.quantizer import FisherSteps


@pytest.mark.parametrize("order", ["descending", "natural"])
def test_the_errors_of_gptq_are_rounding_errors_times_its_feedback(order: str) -> None:
    w_RC, hessian_CC, rounding = weights(16, 24), correlated_hessian(24), recipe(order=order, bits={"default": 8})
    feedbacks = feedbacks_of(rounding, {NAME: hessian_CC})
    found = GptqQuantizer(rounding, feedbacks).quantize_all({NAME: w_RC})[NAME]
    error_RC = found.dequantize().double() - w_RC.double()
    rounding_RC = torch.linalg.solve(in_natural_order(feedbacks[NAME], None).double().T, -error_RC.T).T
    shares_RC = rounding_RC / found.steps_R.double()[:, None]
    assert shares_RC.abs().max() < 0.5 + 1e-3
    assert shares_RC.std() == pytest.approx(12**-0.5, rel=0.1)  # uniform


def test_spread_is_the_variance_that_feedback_adds() -> None:
    feedback = feedbacks_of(recipe(), {NAME: correlated_hessian(24)})[NAME]
    errors_NRC = draw_errors((4000, 24), in_natural_order(feedback, None), torch.Generator().manual_seed(1))
    assert float(errors_NRC.var()) * 12 - 1 == pytest.approx(spread_of(feedback), rel=0.05)


@torch.no_grad()
def divergence(model: GptModel, name: str, error_RC: Tensor, text: list[Tensor]) -> float:
    """Return the mean divergence of the predictions when an error is added to a matrix, in nats a token."""
    parameter = dict(model.named_parameters())[name]
    before = [F.log_softmax(model(tokens), -1).double() for tokens in text]
    parameter.add_(error_RC)
    after = [F.log_softmax(model(tokens), -1).double() for tokens in text]
    parameter.sub_(error_RC)
    total = sum(float((old.exp() * (old - new)).sum()) for old, new in zip(before, after, strict=True))
    return total / sum(tokens.numel() for tokens in text)


@pytest.mark.parametrize("topology", [{}, {"model__topology": LOOPED}])
def test_the_cost_of_a_matrix_is_the_measured_divergence(topology: dict[str, str]) -> None:
    """Also where loops share a matrix: its effects in all of them add up before they are squared."""
    model = awake_model(small_recipe(**topology))
    text = [random_tokens(1, 24, seed=seed) for seed in range(48)]
    names = [name for name, parameter in model.named_parameters() if parameter.ndim == 2 and "mix" not in name]
    costs = collect_row_costs(model, dict.fromkeys(names), text, nothing)
    step, generator = 0.02, torch.Generator().manual_seed(3)
    ratios = []
    for name in names:
        shape = dict(model.named_parameters())[name].shape
        drawn = [step * (torch.rand(shape, generator=generator) - 0.5) for _ in range(2)]
        measured = sum(divergence(model, name, error_RC, text[:10]) for error_RC in drawn) / 2
        ratios.append(float(costs[name].sum()) * step**2 / measured)
    assert min(ratios) > 0.6
    assert max(ratios) < 1.7
    assert torch.tensor(ratios).log().mean().exp() == pytest.approx(1.0, rel=0.15)


def test_every_quantized_matrix_has_a_sensitivity_and_those_of_the_tables_count() -> None:
    model = awake_model(small_recipe())
    rounding = gptq(steps=FisherSteps(kind="fisher"))
    measured = calibrate(rounding, inventory(model.recipe, 384), model, lambda _: [random_tokens(1, 24)], nothing)
    assert set(measured.costs) > set(measured.feedbacks)  # tables have no feedback, but a cost
    assert all(float(cost_R.min()) >= 0 and float(cost_R.sum()) > 0 for cost_R in measured.costs.values())
    assert float(measured.costs["embedding.tokens"].min()) > 0  # also of tokens that the text does not have
