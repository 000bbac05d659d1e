"""Muon: momentum updates of matrices, orthogonalized before they are applied.

Source: Keller Jordan et al., "Muon: An optimizer for hidden layers" (2024).
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from trainer.recipe.optimizer import Momentum, MuonAdamW
from trainer.runtime.world import SINGLE_PROCESS, World

Polynomial = tuple[float, float, float]
# A quintic polynomial whose iteration brings every singular value in (0, 1] into about [0.7, 1.2], near enough to 1.
QUINTIC: Polynomial = (3.4445, -4.7750, 2.0315)
# A different quintic for each iteration, optimal for the range the one before leaves: nearer to 1 after as many
# iterations (arXiv 2505.16932).
POLAR_EXPRESS: tuple[Polynomial, ...] = (
    (8.1566, -22.4833, 15.8788),
    (4.0429, -2.8089, 0.5000),
    (3.8917, -2.7725, 0.5061),
    (3.2858, -2.3681, 0.4645),
    (2.3465, -1.7098, 0.4232),
)
# On a CPU a larger stack exceeds the cache, and its buffers are allocated anew at each step.
CPU_STACK_VALUES = 1 << 20


def polynomials(recipe: MuonAdamW) -> tuple[Polynomial, ...]:
    """Return the polynomial of each Newton-Schulz iteration; the last one of a table repeats."""
    steps = recipe.orthogonalization_steps
    table = POLAR_EXPRESS if recipe.coefficients == "polar_express" else (QUINTIC,)
    return (table + (table[-1],) * steps)[:steps]


def orthogonalize(update_NRC: Tensor, iterations: tuple[Polynomial, ...], dtype: torch.dtype | None = None) -> Tensor:
    """Return the matrices with all singular values near 1: approximately U V^T of their SVD, by Newton-Schulz.

    Computed in `dtype`, by default that of the matrices. Shapes: (N, R, C) -> (N, R, C), of that type.
    """
    x_NRC: Tensor = update_NRC.to(dtype or update_NRC.dtype)
    is_tall = x_NRC.size(-2) > x_NRC.size(-1)
    if is_tall:
        x_NRC = x_NRC.mT
    x_NRC = x_NRC / (torch.linalg.matrix_norm(x_NRC, keepdim=True) + 1e-7)
    for a, b, c in iterations:
        gram_NRR = x_NRC @ x_NRC.mT
        polynomial_NRR = torch.baddbmm(gram_NRR, gram_NRR, gram_NRR, beta=b, alpha=c)
        x_NRC = torch.baddbmm(x_NRC, polynomial_NRR, x_NRC, beta=a)
    return x_NRC.mT.contiguous() if is_tall else x_NRC


def momentum_at(momentum: Momentum, step: int) -> float:
    """Return the momentum of a step: linear from start to end over the warm-up, then constant."""
    if step >= momentum.warmup_steps:
        return momentum.end
    return momentum.start + (momentum.end - momentum.start) * step / momentum.warmup_steps


def gradient_of(parameter: Tensor) -> Tensor:
    """Return the gradient of a parameter, which must have one."""
    assert parameter.grad is not None, "a matrix without a gradient reached Muon"
    return parameter.grad


@dataclass(frozen=True, slots=True)
class Stack:
    """Matrices of one shape and learning rate that go through Newton-Schulz together."""

    names: list[str]
    owner: int
    """Rank that orthogonalizes them, if processes divide the work."""


@dataclass(frozen=True, slots=True)
class Update:
    """The update of a stack, which may still be in transit from another process."""

    stack: Stack
    direction_NRC: Tensor
    arrival: "dist.Work | None"


class Muon:
    """Orthogonalized Nesterov momentum for matrices.

    If several processes divide the work, each orthogonalizes its stacks and broadcasts every result while it computes
    the next one; all processes apply the same numbers.
    """

    def __init__(
        self,
        named: dict[str, Tensor],
        rates: Mapping[str, float],
        recipe: MuonAdamW,
        world: World = SINGLE_PROCESS,
        dtype: torch.dtype | None = None,
    ) -> None:
        self.named, self.rates, self.recipe, self.world, self.dtype = named, rates, recipe, world, dtype
        self.weight_decay = recipe.weight_decay
        self.iterations = polynomials(recipe)
        self.buffers = {name: torch.zeros_like(parameter) for name, parameter in named.items()}
        self.stacks = stack_matrices(named, rates, world.size)

    def step(self, step: int, multiplier: float) -> None:
        """Update the matrices from their gradients, which are overwritten. `multiplier` scales every learning rate."""
        self.finish(self.begin(step), multiplier)

    @torch.no_grad()
    def begin(self, step: int) -> list[Update]:
        """Start the update of every stack. The gradients are overwritten."""
        return [self.start_update(stack, momentum_at(self.recipe.momentum, step)) for stack in self.stacks]

    def start_update(self, stack: Stack, momentum: float) -> Update:
        """Add the gradients of a stack to its momentum; compute its direction here or receive it from its owner."""
        gradients = [gradient_of(self.named[name]) for name in stack.names]
        buffers = [self.buffers[name] for name in stack.names]
        torch._foreach_mul_(buffers, momentum)
        torch._foreach_add_(buffers, gradients)
        if self.world.rank != stack.owner:
            like, shape = gradients[0], (len(gradients), *gradients[0].shape)
            direction_NRC = torch.empty(shape, dtype=self.dtype or like.dtype, device=like.device)
        else:
            torch._foreach_add_(gradients, buffers, alpha=momentum)
            direction_NRC = self.direction(torch.stack(gradients))
        return Update(stack, direction_NRC, self.world.broadcast(direction_NRC, stack.owner))

    @torch.no_grad()
    def finish(self, updates: list[Update], multiplier: float) -> None:
        """Wait for the directions and apply them to the matrices."""
        for update in updates:
            if update.arrival is not None:
                update.arrival.wait()
            parameters = [self.named[name] for name in update.stack.names]
            rows, columns = parameters[0].shape
            lr = self.rates[update.stack.names[0]] * multiplier
            self.apply(parameters, update.direction_NRC.to(parameters[0].dtype), lr, max(1.0, rows / columns) ** 0.5)

    def direction(self, momentum_NRC: Tensor) -> Tensor:
        """Return the direction of a stack, with singular values near 1. Shapes: (N, R, C) -> (N, R, C)."""
        if self.recipe.row_normalized:
            momentum_NRC = momentum_NRC / (torch.linalg.vector_norm(momentum_NRC, dim=-1, keepdim=True) + 1e-7)
        return orthogonalize(momentum_NRC, self.iterations, self.dtype)

    def apply(self, parameters: list[Tensor], direction_NRC: Tensor, lr: float, times: float) -> None:
        """Decay the parameters and move them by `times` times the learning rate."""
        kept = 1 - lr * self.weight_decay
        if self.weight_decay and not self.recipe.decay_after_update:
            torch._foreach_mul_(parameters, kept)
        torch._foreach_add_(parameters, list(direction_NRC.unbind()), alpha=-lr * times)
        if self.weight_decay and self.recipe.decay_after_update:
            torch._foreach_mul_(parameters, kept)

    def state(self) -> dict[str, Any]:
        return self.buffers

    def restore(self, state: dict[str, Any]) -> None:
        for name, buffer in self.buffers.items():
            buffer.copy_(state[name])


def stack_matrices(named: Mapping[str, Tensor], rates: Mapping[str, float], processes: int) -> list[Stack]:
    """Return the matrices in stacks of one shape and learning rate, as large as the device handles well.

    Stacks are assigned to processes so that each has about the same number of values.
    """
    by_kind: dict[tuple[torch.Size, float], list[str]] = defaultdict(list)
    for name, matrix in named.items():
        by_kind[matrix.shape, rates[name]].append(name)
    stacks: list[Stack] = []
    loads = [0] * processes
    for (shape, _), names in by_kind.items():
        height = ceil(len(names) / processes)
        if named[names[0]].device.type == "cpu":
            height = max(1, min(height, CPU_STACK_VALUES // shape.numel()))
        for start in range(0, len(names), height):
            owner = loads.index(min(loads))
            stacks.append(Stack(names[start : start + height], owner))
            loads[owner] += len(stacks[-1].names) * shape.numel()
    return stacks
