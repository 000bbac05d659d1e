"""Rotary position embedding."""

import torch

from trainer.model.rope import Rotary
from trainer.recipe.execution_rope import ExecutionRope


def test_products_depend_on_distance_only() -> None:
    rotary = Rotary(ExecutionRope(dims=8, period_dims=8, base=100.0))
    q, k = torch.randn(8, dtype=torch.float64), torch.randn(8, dtype=torch.float64)
    q_TE, k_TE = (rotary.rotate(vector.expand(1, 1, 6, 8), 6)[0, 0] for vector in (q, k))
    for shift in range(3):
        products = [(q_TE[i + shift] @ k_TE[i]).item() for i in range(3)]
        assert max(products) - min(products) < 1e-5


def test_rotation_is_by_the_formula() -> None:
    rotary = Rotary(ExecutionRope(dims=4, period_dims=4, base=10_000.0))
    x = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]).expand(1, 1, 3, 5)
    angle = torch.tensor([2.0, 2.0 / 100.0])
    expected = torch.cat(
        (
            torch.tensor([1.0, 2.0]) * angle.cos() + torch.tensor([3.0, 4.0]) * angle.sin(),
            torch.tensor([3.0, 4.0]) * angle.cos() - torch.tensor([1.0, 2.0]) * angle.sin(),
            torch.tensor([5.0]),
        )
    )
    torch.testing.assert_close(rotary.rotate(x, 3)[0, 0, 2], expected)


def test_the_last_tokens_of_a_sequence_are_turned_by_their_places_in_it() -> None:
    rotary = Rotary(ExecutionRope(dims=8, period_dims=8, base=100.0, trained_tokens=4))
    x_BHTE = torch.randn(2, 3, 9, 8)
    assert torch.equal(rotary.rotate(x_BHTE[:, :, -4:], 9), rotary.rotate(x_BHTE, 9)[:, :, -4:])
