"""Muon: momentum whose matrices are made orthogonal before they are applied.

Source: Keller Jordan et al., "Muon: An optimizer for hidden layers" (2024).
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from trainer.recipe.optimizer import Momentum, MuonAdamW

Polynomial = tuple[float, float, float]
# A quintic whose iteration drives every singular value in (0, 1] into about [0.7, 1.2]: fast, and near enough to 1.
QUINTIC: Polynomial = (3.4445, -4.7750, 2.0315)
# The best quintic for what the one before leaves: nearer to 1 after as many iterations (arXiv 2505.16932).
POLAR_EXPRESS: tuple[Polynomial, ...] = (
    (8.1566, -22.4833, 15.8788),
    (4.0429, -2.8089, 0.5000),
    (3.8917, -2.7725, 0.5061),
    (3.2858, -2.3681, 0.4645),
    (2.3465, -1.7098, 0.4232),
)
# On a CPU a stack of more values than this leaves the cache, and its buffers are mapped anew by each step.
CPU_STACK_VALUES = 1 << 20


def polynomials(recipe: MuonAdamW) -> tuple[Polynomial, ...]:
    """The polynomial of each Newton-Schulz iteration; the last of a table goes on where it ends."""
    steps = recipe.orthogonalization_steps
    table = POLAR_EXPRESS if recipe.coefficients == "polar_express" else (QUINTIC,)
    return (table + (table[-1],) * steps)[:steps]


def orthogonalize(update_NRC: Tensor, iterations: tuple[Polynomial, ...]) -> Tensor:
    """The matrices with all singular values moved near 1: UV^T of their SVD, roughly, by Newton-Schulz.

    In bfloat16 on a GPU, in float32 on a CPU. Shapes: (N, R, C) -> (N, R, C).
    """
    x_NRC: Tensor = update_NRC.bfloat16() if update_NRC.is_cuda else update_NRC
    is_tall = x_NRC.size(-2) > x_NRC.size(-1)
    if is_tall:
        x_NRC = x_NRC.mT
    x_NRC = x_NRC / (torch.linalg.matrix_norm(x_NRC, keepdim=True) + 1e-7)
    for a, b, c in iterations:
        gram_NRR = x_NRC @ x_NRC.mT
        polynomial_NRR = torch.baddbmm(gram_NRR, gram_NRR, gram_NRR, beta=b, alpha=c)
        x_NRC = torch.baddbmm(x_NRC, polynomial_NRR, x_NRC, beta=a)
    return (x_NRC.mT if is_tall else x_NRC).to(update_NRC.dtype)


def momentum_at(momentum: Momentum, step: int) -> float:
    """Momentum of a step: a straight line from start to end over the warm-up, then end."""
    if step >= momentum.warmup_steps:
        return momentum.end
    return momentum.start + (momentum.end - momentum.start) * step / momentum.warmup_steps


def gradient_of(parameter: Tensor) -> Tensor:
    """The gradient, which must be there."""
    assert parameter.grad is not None, "a matrix without a gradient reached Muon"
    return parameter.grad


class Muon:
    """Nesterov momentum, orthogonalised, over matrices; those of one shape and learning rate go through Newton-Schulz
    as stacks.
    """

    def __init__(self, named: dict[str, Tensor], rates: Mapping[str, float], recipe: MuonAdamW) -> None:
        self.named, self.rates, self.recipe = named, rates, recipe
        self.iterations = polynomials(recipe)
        self.buffers = {name: torch.zeros_like(parameter) for name, parameter in named.items()}
        self.stacks = stacks_of_one_kind(named, rates)

    @torch.no_grad()
    def step(self, step: int, multiplier: float) -> None:
        """Nothing; one update from the gradients, which are spent. `multiplier` scales every learning rate."""
        momentum = momentum_at(self.recipe.momentum, step)
        for names in self.stacks:
            parameters = [self.named[name] for name in names]
            gradients = [gradient_of(parameter) for parameter in parameters]
            buffers = [self.buffers[name] for name in names]
            torch._foreach_mul_(buffers, momentum)
            torch._foreach_add_(buffers, gradients)
            torch._foreach_add_(gradients, buffers, alpha=momentum)
            self.apply(parameters, self.direction(torch.stack(gradients)), self.rates[names[0]] * multiplier)

    def direction(self, momentum_NRC: Tensor) -> Tensor:
        """The update before its learning rate. Shapes: (N, R, C) -> (N, R, C)."""
        if self.recipe.row_normalized:
            momentum_NRC = momentum_NRC / (torch.linalg.vector_norm(momentum_NRC, dim=-1, keepdim=True) + 1e-7)
        rows, columns = momentum_NRC.shape[-2:]
        update_NRC: Tensor = max(1.0, rows / columns) ** 0.5 * orthogonalize(momentum_NRC, self.iterations)
        return update_NRC

    def apply(self, parameters: list[Tensor], update_NRC: Tensor, lr: float) -> None:
        """Nothing; the parameters have decayed and moved."""
        kept = 1 - lr * self.recipe.weight_decay
        if self.recipe.weight_decay and not self.recipe.decay_after_update:
            torch._foreach_mul_(parameters, kept)
        torch._foreach_add_(parameters, list(update_NRC.unbind()), alpha=-lr)
        if self.recipe.weight_decay and self.recipe.decay_after_update:
            torch._foreach_mul_(parameters, kept)

    def state(self) -> dict[str, Any]:
        return self.buffers

    def restore(self, state: dict[str, Any]) -> None:
        for name, buffer in self.buffers.items():
            buffer.copy_(state[name])


def stacks_of_one_kind(named: Mapping[str, Tensor], rates: Mapping[str, float]) -> list[list[str]]:
    """The names in stacks whose matrices have one shape and learning rate, each as high as the device likes."""
    by_kind: dict[tuple[torch.Size, float], list[str]] = defaultdict(list)
    for name, matrix in named.items():
        by_kind[matrix.shape, rates[name]].append(name)
    stacks = []
    for (shape, _), names in by_kind.items():
        is_cpu = named[names[0]].device.type == "cpu"
        height = max(1, CPU_STACK_VALUES // shape.numel()) if is_cpu else len(names)
        stacks += [names[start : start + height] for start in range(0, len(names), height)]
    return stacks
