"""Allocation of bits to rows, against numerical integration, a search without slopes, and its own promises."""

from dataclasses import replace
from math import log
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.optimize import minimize
from scipy.stats import norm
from torch import Tensor

from trainer.quantizer.allocation import (
    RateTable,
    RowCosts,
    allocate_steps,
    column_profile,
    gaussian_table,
    round_gaussian,
)
from trainer.recipe.quantizer import FisherSteps


def tensor_of(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def rows_of(deviation: Tensor, cost: Tensor, clip: Tensor, columns: int = 64, spread: float = 0.0) -> RowCosts:
    rows = RowCosts(deviation, cost, torch.zeros_like(cost), columns, RateTable(spread))
    return replace(rows, clip_bits_R=rows.bits(clip))


@pytest.mark.parametrize("step", [0.15, 0.5, 1.3, 3.0])
def test_rate_and_error_of_a_rounded_gaussian_equal_numerical_integration(step: float) -> None:
    bits, error = (float(each[0]) for each in round_gaussian(tensor_of(step)))
    codes = range(-round(9 / step), round(9 / step) + 1)
    edges = [((code - 0.5) * step, (code + 0.5) * step) for code in codes]
    shares = [norm.cdf(high) - norm.cdf(low) for low, high in edges]
    assert bits == pytest.approx(-sum(share * np.log2(share) for share in shares if share > 0), rel=1e-9)
    errors = [
        quad(lambda x, point=code * step: (x - point) ** 2 * norm.pdf(x), low, high)[0]
        for code, (low, high) in zip(codes, edges, strict=True)
    ]
    assert error == pytest.approx(sum(errors), rel=1e-7)


def test_the_law_for_fine_steps_continues_the_exact_values() -> None:
    table = gaussian_table()
    assert (table.bits_T.diff() < 0).all()
    assert (table.errors_T.diff() > 0).all()
    slope_T = table.bits_T.diff() / table.log_steps_T.diff()
    is_fine_T = table.log_steps_T[2:].exp() < 0.5
    assert slope_T.diff().abs()[is_fine_T].max() < 1e-3  # no jump where one ends and the other begins


def test_no_other_steps_cost_less_at_the_same_rate() -> None:
    """Three rows of two matrices: scipy minimizes the cost at the same number of bits and finds the same steps."""
    deviation, cost, clip = tensor_of(0.02, 0.05), tensor_of(3.0, 0.02), tensor_of(0.01, 0.025)
    single = rows_of(tensor_of(0.1), tensor_of(0.3), tensor_of(0.05), columns=32)
    rows = {"a": rows_of(deviation, cost, clip), "b": single}
    found = allocate_steps(FisherSteps(kind="fisher", tensor=1.0, row=1.0), rows)
    columns, d = np.array([64, 64, 32]), np.array([0.02, 0.05, 0.1])
    c, clips = np.array([3.0, 0.02, 0.3]), np.array([0.01, 0.025, 0.05])

    def bits(log_steps: NDArray[np.float64]) -> float:
        return float(columns @ np.array([float(round_gaussian(tensor_of(t))[0][0]) for t in np.exp(log_steps) / d]))

    def loss(log_steps: NDArray[np.float64]) -> float:
        return float((c * d**2) @ np.array([float(round_gaussian(tensor_of(t))[1][0]) for t in np.exp(log_steps) / d]))

    same_rate: Any = {"type": "eq", "fun": lambda x: (bits(x) - bits(np.log(clips))) / 100}
    best = minimize(loss, np.log(clips), constraints=same_rate, method="SLSQP", options={"ftol": 1e-12, "maxiter": 300})
    steps = np.log(torch.cat([found["a"], found["b"]]).double().numpy())
    assert steps == pytest.approx(best.x, abs=0.06)  # steps lie on eighths of an octave, 0.087 apart
    assert loss(steps) < 0.5 * loss(np.log(clips))


def test_columns_of_unequal_width_are_gaussians_of_their_own() -> None:
    """Bits and error of a row are the means over its columns, each by itself."""
    width_C = torch.logspace(-2, 1, 256, dtype=torch.float64)
    w_RC = width_C * torch.randn(64, 256, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    deviation = w_RC.square().mean(dim=1).sqrt()
    rows = RowCosts(deviation, torch.ones(64), torch.zeros(64), 256, RateTable(0.0, column_profile(w_RC)))
    for step in (1.2, 3.0):
        bits_C, errors_C = round_gaussian(step / width_C)
        steps = torch.full((64,), step, dtype=torch.float64)
        assert float(rows.bits(steps).mean()) == pytest.approx(float(bits_C.mean()), rel=0.03)
        error = float((rows.nats(steps) / 12).mean())
        assert error == pytest.approx(float((errors_C * width_C**2).mean()), rel=0.05)
    even = RowCosts(deviation, torch.ones(64), torch.zeros(64), 256)
    assert float(even.bits(steps).mean()) > 2 * float(rows.bits(steps).mean())  # what one Gaussian would take


def random_rows(count: int, seed: int, spread: float = 0.0, clip: float = 0.4) -> RowCosts:
    generator = torch.Generator().manual_seed(seed)
    deviation, cost = torch.exp(torch.randn(2, count, generator=generator, dtype=torch.float64))
    return rows_of(0.03 * deviation, cost**2, clip * 0.03 * deviation, spread=spread)


@pytest.mark.parametrize("spread", [0.0, 1.5, 6.0])
def test_the_rate_of_the_clips_is_kept(spread: float) -> None:
    rows = {name: random_rows(200, seed, spread) for seed, name in enumerate("ab")}
    steps = allocate_steps(FisherSteps(kind="fisher"), rows)
    before = sum(float(each.clip_bits_R.sum()) for each in rows.values())
    after = sum(float(each.bits(steps[name].double()).sum()) for name, each in rows.items())
    assert after == pytest.approx(before, rel=0.004)


def test_exponents_of_zero_ignore_sensitivity_and_a_deviation_of_one_follows_the_clips() -> None:
    rows = {"a": random_rows(50, 0, clip=0.02)}
    even = allocate_steps(FisherSteps(kind="fisher", tensor=0.0, row=0.0), rows)["a"]
    assert even.double().log2().std() < 0.07  # one step for all, up to the grid
    clips = allocate_steps(FisherSteps(kind="fisher", tensor=0.0, row=0.0, deviation=1.0), rows)["a"]
    ratio = clips.double() / (0.02 * rows["a"].deviation_R)
    assert ratio.log2().abs().max() < 1 / 16 + 0.02


def test_the_step_of_a_row_falls_with_the_root_of_its_cost() -> None:
    rows = {"a": rows_of(tensor_of(1.0, 1.0), tensor_of(1.0, 16.0), tensor_of(0.05, 0.05))}
    steps = allocate_steps(FisherSteps(kind="fisher", tensor=1.0, row=1.0), rows)["a"].double()
    assert log(float(steps[0] / steps[1]), 2) == pytest.approx(2.0, abs=0.13)


def test_rows_of_zeros_and_rows_without_cost_get_a_step() -> None:
    rows = {"a": rows_of(tensor_of(0.0, 0.1, 0.1), tensor_of(1.0, 0.0, 1.0), tensor_of(0.0, 0.03, 0.03))}
    steps = allocate_steps(FisherSteps(kind="fisher"), rows)["a"].double()
    assert torch.isfinite(steps).all()
    assert (steps > 0).all()


def test_rows_of_zeros_change_nothing_for_the_others() -> None:
    whole = random_rows(40, 3)
    zero = torch.zeros(15, dtype=torch.float64)
    deviation, cost, clip = (torch.cat([e, zero]) for e in (whole.deviation_R, whole.cost_R, 0.4 * whole.deviation_R))
    padded = rows_of(deviation, cost, clip)
    for share in (0.0, 0.5):
        recipe = FisherSteps(kind="fisher", deviation=share)
        alone, beside = allocate_steps(recipe, {"a": whole})["a"], allocate_steps(recipe, {"a": padded})["a"]
        assert torch.equal(alone, beside[:40])
