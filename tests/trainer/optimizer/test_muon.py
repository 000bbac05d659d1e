"""Muon against the SVD and against its formula in float64."""

import pytest
import torch

from trainer.optimizer.muon import (
    POLAR_EXPRESS,
    QUINTIC,
    Muon,
    Polynomial,
    momentum_at,
    orthogonalize,
    polynomials,
    stack_matrices,
)
from trainer.recipe.optimizer import Momentum, MuonAdamW

FIVE = (QUINTIC,) * 5


@pytest.mark.parametrize("shape", [(32, 32), (48, 16), (16, 48)])
@pytest.mark.parametrize(("table", "least", "most"), [(FIVE, 0.6, 1.3), (POLAR_EXPRESS, 0.85, 1.15)])
def test_orthogonalization_is_near_the_polar_factor_of_the_svd(
    shape: tuple[int, int], table: tuple[Polynomial, ...], least: float, most: float
) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(*shape, dtype=torch.float64)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    found = orthogonalize(matrix[None], table)[0]
    in_their_basis = left.mT @ found @ right.mT
    off_diagonal = in_their_basis - torch.diag(in_their_basis.diagonal())
    assert off_diagonal.abs().max() < 1e-6  # the singular vectors are unchanged
    assert in_their_basis.diagonal().min() > least  # the singular values are near 1
    assert in_their_basis.diagonal().max() < most


def test_more_steps_do_not_leave_the_band() -> None:
    matrix = torch.randn(24, 24, dtype=torch.float64)
    values = torch.linalg.svdvals(orthogonalize(matrix[None], (QUINTIC,) * 12)[0])
    assert values.min() > 0.6 and values.max() < 1.3


def test_a_stack_is_orthogonalized_matrix_by_matrix() -> None:
    stack = torch.randn(3, 8, 12)
    alone = torch.stack([orthogonalize(matrix[None], FIVE)[0] for matrix in stack])
    torch.testing.assert_close(orthogonalize(stack, FIVE), alone)


def test_the_last_polynomial_of_a_table_repeats() -> None:
    recipe = MuonAdamW(kind="muon_adamw", coefficients="polar_express", orthogonalization_steps=7)
    assert polynomials(recipe) == (*POLAR_EXPRESS, POLAR_EXPRESS[-1], POLAR_EXPRESS[-1])


def test_momentum_rises_linearly() -> None:
    momentum = Momentum(start=0.8, end=0.9, warmup_steps=10)
    assert [round(momentum_at(momentum, step), 6) for step in (0, 5, 10, 99)] == [0.8, 0.85, 0.9, 0.9]


@pytest.mark.parametrize(("warmup_steps", "after", "by_row"), [(0, False, False), (4, True, False), (4, False, True)])
def test_steps_follow_the_formula(warmup_steps: int, after: bool, by_row: bool) -> None:
    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.randn(6, 3, dtype=torch.float64))
    expected, buffer = weight.detach().clone(), torch.zeros(6, 3, dtype=torch.float64)
    momentum_recipe = Momentum(start=0.5, end=0.9, warmup_steps=warmup_steps)
    recipe = MuonAdamW(
        kind="muon_adamw", momentum=momentum_recipe, weight_decay=0.1, decay_after_update=after, row_normalized=by_row
    )
    muon = Muon({"w": weight}, {"w": 0.04}, recipe)
    for step in range(3):
        momentum = 0.5 + 0.1 * step if warmup_steps else 0.9
        gradient = torch.randn(6, 3, dtype=torch.float64)
        weight.grad = gradient.clone()
        muon.step(step, multiplier=0.5)
        buffer = momentum * buffer + gradient
        nesterov = gradient + momentum * buffer
        if by_row:
            nesterov = torch.stack([row / row.norm() for row in nesterov])
        moved = 0.02 * (6 / 3) ** 0.5 * orthogonalize(nesterov[None], FIVE)[0]
        kept = 1 - 0.02 * 0.1
        expected = kept * (expected - moved) if after else kept * expected - moved
        torch.testing.assert_close(weight.detach(), expected)


@pytest.mark.parametrize("processes", [1, 2, 3, 8])
def test_stacks_hold_every_matrix_once_and_balance_processes(processes: int) -> None:
    shapes = {"q": (8, 8), "kv": (4, 8), "up": (16, 8), "down": (8, 16)}
    named = {f"{kind}.{layer}": torch.zeros(shape) for layer in range(11) for kind, shape in shapes.items()}
    stacks = stack_matrices(named, dict.fromkeys(named, 0.1), processes)
    assert sorted(name for stack in stacks for name in stack.names) == sorted(named)
    assert all(len({named[name].shape for name in stack.names}) == 1 for stack in stacks)
    loads = [sum(named[n].numel() for s in stacks if s.owner == rank for n in s.names) for rank in range(processes)]
    assert max(loads) <= 1.5 * sum(loads) / processes


def test_bfloat16_products_give_nearly_the_same_direction() -> None:
    torch.manual_seed(0)
    matrix = torch.randn(1, 40, 24)
    exact, narrow = orthogonalize(matrix.double(), FIVE), orthogonalize(matrix, FIVE, torch.bfloat16)
    assert narrow.dtype == torch.bfloat16
    likeness = torch.nn.functional.cosine_similarity(exact.flatten(), narrow.double().flatten(), dim=0)
    assert 0.999 < likeness < 0.9999999
