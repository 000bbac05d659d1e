"""Muon against the SVD and against its formula in float64."""

import pytest
import torch

from trainer.optimizer.muon import Muon, momentum_at, orthogonalize
from trainer.recipe.optimizer import Momentum


@pytest.mark.parametrize("shape", [(32, 32), (48, 16), (16, 48)])
def test_orthogonalization_is_near_the_polar_factor_of_the_svd(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(*shape, dtype=torch.float64)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    found = orthogonalize(matrix[None], steps=5)[0]
    in_their_basis = left.mT @ found @ right.mT
    off_diagonal = in_their_basis - torch.diag(in_their_basis.diagonal())
    assert off_diagonal.abs().max() < 1e-6  # the singular vectors stay
    assert in_their_basis.diagonal().min() > 0.6  # the singular values come near 1
    assert in_their_basis.diagonal().max() < 1.3


def test_more_steps_do_not_leave_the_band() -> None:
    matrix = torch.randn(24, 24, dtype=torch.float64)
    values = torch.linalg.svdvals(orthogonalize(matrix[None], steps=12)[0])
    assert values.min() > 0.6 and values.max() < 1.3


def test_a_stack_is_orthogonalized_matrix_by_matrix() -> None:
    stack = torch.randn(3, 8, 12)
    alone = torch.stack([orthogonalize(matrix[None], 5)[0] for matrix in stack])
    torch.testing.assert_close(orthogonalize(stack, 5), alone)


def test_momentum_rises_along_a_straight_line() -> None:
    momentum = Momentum(start=0.8, end=0.9, warmup_steps=10)
    assert [round(momentum_at(momentum, step), 6) for step in (0, 5, 10, 99)] == [0.8, 0.85, 0.9, 0.9]


@pytest.mark.parametrize("warmup_steps", [0, 4])
def test_steps_follow_the_formula(warmup_steps: int) -> None:
    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.randn(6, 3, dtype=torch.float64))
    expected, buffer = weight.detach().clone(), torch.zeros(6, 3, dtype=torch.float64)
    muon = Muon({"w": weight}, Momentum(start=0.5, end=0.9, warmup_steps=warmup_steps), steps=5, weight_decay=0.1)
    for step in range(3):
        momentum = 0.5 + 0.1 * step if warmup_steps else 0.9
        gradient = torch.randn(6, 3, dtype=torch.float64)
        weight.grad = gradient.clone()
        muon.step(step, lr=0.02)
        buffer = momentum * buffer + gradient
        update = orthogonalize((gradient + momentum * buffer)[None], 5)[0]
        expected = expected * (1 - 0.02 * 0.1) - 0.02 * (6 / 3) ** 0.5 * update
        torch.testing.assert_close(weight.detach(), expected)
