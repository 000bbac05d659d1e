"""Trellis codes, against a search of all paths, the distance of their code, and the plain grid."""

from itertools import product

import pytest
import torch
from torch import Tensor

import trainer.quantizer.trellis
from tests.trainer.quantizer.test_gptq import NAME, correlated_hessian, damage, weights
from trainer.quantizer.feedback import feedbacks_of
from trainer.quantizer.gptq import GptqQuantizer
from trainer.quantizer.matrix import QuantizedMatrix
from trainer.quantizer.trellis import CHAIN_ROWS, chains_of, classes_of, next_states, state_classes, trellis_codes
from trainer.recipe.quantizer import DeviationClip, Gptq, TrainingText, TrellisGptq
from trainer.runtime.failure import TrainingFailed

STATES = [4, 8, 16]
GRID = {
    "bits": {"default": 4},
    "clip": DeviationClip(kind="deviations", k={"default": 3.0}),
    "calibration": TrainingText(kind="training", sequences=1),
}


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def squared_error(x_RC: Tensor, points_RC: Tensor, weight_R: Tensor | None = None) -> float:
    weight_R1 = torch.ones(len(x_RC), 1) if weight_R is None else weight_R[:, None]
    return float(((x_RC - points_RC) ** 2 * weight_R1).mean())


@pytest.mark.parametrize("states", STATES)
def test_the_best_path_is_that_of_a_search_of_all_paths(states: int) -> None:
    """Every sequence of parities is followed by brute force; given it, each code is the nearest of its class."""
    length, table, classes = 7, next_states(states).tolist(), state_classes(states).tolist()
    x_T, weight_T = 3 * gaussian(length), torch.rand(length, dtype=torch.float64, generator=torch.Generator()) + 0.1
    least, best = float("inf"), []
    for parities in product((0, 1), repeat=length):
        state, cost, codes = 0, 0.0, []
        for x, weight, parity in zip(x_T.tolist(), weight_T.tolist(), parities, strict=True):
            shift = classes[state] / 2
            code = min((abs(x - k - shift), k) for k in range(-30 + parity, 31, 2))[1]
            cost += weight * (x - code - shift) ** 2
            codes.append(code)
            state = table[state][parity]
        if cost < least:
            least, best = cost, codes
    codes_T1, points_T1 = trellis_codes(x_T[:, None], weight_T, torch.zeros(length, dtype=torch.bool), states)
    assert codes_T1[:, 0].tolist() == best
    assert float((weight_T * (x_T - points_T1[:, 0]) ** 2).sum()) == pytest.approx(least)


@pytest.mark.parametrize(("states", "distance"), [(4, 9.0), (8, 10.0), (16, 11.0)])
def test_paths_that_part_and_meet_are_as_far_apart_as_published(states: int, distance: float) -> None:
    """The free squared distance in units of the spacing of all points, Ungerboeck 1982, table 1 (4 AM)."""
    table, classes = next_states(states), state_classes(states).tolist()
    gap = {(0, 0): 0.0, (0, 1): 4.0, (1, 0): 1.0, (1, 1): 1.0}  # of class and parity from class 0, parity 0
    cost = torch.full((states,), float("inf"))
    cost[table[0, 1]] = gap[0, 1]
    least = float("inf")
    for _ in range(40):
        after = torch.full((states,), float("inf"))
        for state in range(1, states):
            for parity in (0, 1):
                following = int(table[state, parity])
                after[following] = min(after[following], cost[state] + gap[classes[state], parity])
        least, cost = min(least, float(after[0])), after
        cost[0] = float("inf")
    assert least == distance


@pytest.mark.parametrize(("states", "most"), [(4, 0.82), (8, 0.81), (16, 0.80)])
def test_a_gaussian_is_a_fifth_closer_at_the_entropy_of_the_plain_grid(states: int, most: float) -> None:
    x_RC = 2.4 * gaussian(512, 256)
    rows = torch.ones(512), torch.zeros(512, dtype=torch.bool)
    codes_RC, points_RC = trellis_codes(x_RC, *rows, states)
    assert squared_error(x_RC, points_RC) < most * squared_error(x_RC, x_RC.round())
    classes_RC = classes_of(codes_RC.to(torch.int16), rows[1], states)

    def bits(codes: Tensor) -> float:
        shares = torch.unique(codes, return_counts=True)[1] / codes.numel()
        return float(-(shares * shares.log2()).sum())

    apart = sum(bits(codes_RC[classes_RC == each]) * float((classes_RC == each).double().mean()) for each in (0, 1))
    assert apart == pytest.approx(bits(x_RC.round()), abs=0.01)


@pytest.mark.parametrize("rows", [1, 63, 64, 129, 200])
@pytest.mark.parametrize("states", STATES)
def test_points_follow_from_codes_alone(rows: int, states: int) -> None:
    x_RC = 2 * gaussian(rows, 9)
    is_plain_R = torch.rand(rows, generator=torch.Generator().manual_seed(1)) < 0.3
    codes_RC, points_RC = trellis_codes(x_RC, torch.ones(rows), is_plain_R, states)
    classes_RC = classes_of(codes_RC.to(torch.int16), is_plain_R, states)
    assert torch.equal(codes_RC + 0.5 * classes_RC, points_RC)
    assert torch.equal(points_RC[is_plain_R], x_RC[is_plain_R].round())
    assert chains_of(rows) == max(1, rows // CHAIN_ROWS)


def test_columns_that_are_searched_in_parts_get_the_same_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    x_RC, rows = 2 * gaussian(130, 11), (torch.ones(130), torch.zeros(130, dtype=torch.bool))
    whole = trellis_codes(x_RC, *rows, 8)
    monkeypatch.setattr(trainer.quantizer.trellis, "MOST_LANES", 12)
    parts = trellis_codes(x_RC, *rows, 8)
    assert all(map(torch.equal, whole, parts))


def test_heavy_rows_are_served_first() -> None:
    x_RC, weight_R = 2 * gaussian(128, 200), torch.ones(128)
    is_heavy_R = torch.arange(128) % 4 < 2  # every other row of each of the two chains
    weight_R[is_heavy_R] = 100.0
    no_row = torch.zeros(128, dtype=torch.bool)
    _, even_RC = trellis_codes(x_RC, torch.ones(128), no_row, 8)
    _, points_RC = trellis_codes(x_RC, weight_R, no_row, 8)
    x_heavy_RC, x_light_RC = x_RC[is_heavy_R], x_RC[~is_heavy_R]
    assert squared_error(x_heavy_RC, points_RC[is_heavy_R]) < 0.8 * squared_error(x_heavy_RC, even_RC[is_heavy_R])
    assert squared_error(x_light_RC, points_RC[~is_heavy_R]) < 1 / 3  # at worst the points are two steps apart


def test_gptq_on_a_trellis_loses_less_than_on_the_plain_grid_of_the_same_steps() -> None:
    w_RC, hessian_CC = weights(192, 48), correlated_hessian(48)
    nearest = Gptq(kind="gptq", **GRID)  # type: ignore[arg-type]
    feedbacks = feedbacks_of(nearest, {NAME: hessian_CC})
    plain = GptqQuantizer(nearest, feedbacks).quantize_all({NAME: w_RC})[NAME]
    trellis = TrellisGptq(kind="trellis_gptq", states=8, **GRID)  # type: ignore[arg-type]
    coded = GptqQuantizer(trellis, feedbacks).quantize_all({NAME: w_RC})[NAME]
    assert torch.equal(coded.steps_R, plain.steps_R)
    assert damage(w_RC, coded, hessian_CC) < 0.85 * damage(w_RC, plain, hessian_CC)


def test_rows_whose_steps_exceed_their_deviation_are_plain_and_lose_nothing() -> None:
    w_RC = weights(128, 32)
    wide = TrellisGptq(kind="trellis_gptq", **GRID | {"clip": DeviationClip(kind="deviations", k={"default": 14.0})})  # type: ignore[arg-type]
    coded = GptqQuantizer(wide, {}).quantize_all({NAME: w_RC})[NAME]
    assert (coded.steps_R < 0).all()
    steps_R1 = coded.steps_R.float().abs()[:, None]
    assert torch.equal(coded.dequantize(), (w_RC / steps_R1).round() * steps_R1)


def test_codes_without_states_are_multiples_of_the_step() -> None:
    codes_RC = torch.tensor([[1, -2, 3]], dtype=torch.int8)
    assert QuantizedMatrix(codes_RC, torch.tensor([0.5]).half()).dequantize().tolist() == [[0.5, -1.0, 1.5]]


def test_a_negative_step_of_a_plain_matrix_keeps_its_sign() -> None:
    codes_RC = torch.tensor([[4, -3]], dtype=torch.int8)
    assert QuantizedMatrix(codes_RC, torch.tensor([-0.5]).half()).dequantize().tolist() == [[-2.0, 1.5]]


def test_codes_beyond_int16_are_refused() -> None:
    fine = TrellisGptq(kind="trellis_gptq", **GRID | {"clip": DeviationClip(kind="deviations", k={"default": 1e-5})})  # type: ignore[arg-type]
    with pytest.raises(TrainingFailed, match="beyond 32,767; use wider clips"):
        GptqQuantizer(fine, {}).quantize_all({NAME: weights(128, 4)})[NAME]
