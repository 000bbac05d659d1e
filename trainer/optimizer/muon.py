"""Muon: momentum whose matrices are made orthogonal before they are applied.

Source: Keller Jordan et al., "Muon: An optimizer for hidden layers" (2024).
"""

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor

from trainer.recipe.optimizer import Momentum

# A quintic whose iteration drives every singular value in (0, 1] into about [0.7, 1.2]: fast, and near enough to 1.
QUINTIC = (3.4445, -4.7750, 2.0315)
# On a CPU a stack of more values than this leaves the cache, and its buffers are mapped anew by each step.
CPU_STACK_VALUES = 1 << 20


def orthogonalize(update_NRC: Tensor, steps: int) -> Tensor:
    """The matrices with all singular values moved near 1: UV^T of their SVD, roughly, by Newton-Schulz.

    In bfloat16 on a GPU, in float32 on a CPU. Shapes: (N, R, C) -> (N, R, C).
    """
    a, b, c = QUINTIC
    x_NRC: Tensor = update_NRC.bfloat16() if update_NRC.is_cuda else update_NRC
    is_tall = x_NRC.size(-2) > x_NRC.size(-1)
    if is_tall:
        x_NRC = x_NRC.mT
    x_NRC = x_NRC / (torch.linalg.matrix_norm(x_NRC, keepdim=True) + 1e-7)
    for _ in range(steps):
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
    """Nesterov momentum, orthogonalised, over matrices; matrices of one shape go through Newton-Schulz as stacks."""

    def __init__(self, named: dict[str, Tensor], momentum: Momentum, steps: int, weight_decay: float) -> None:
        self.named, self.momentum, self.steps, self.weight_decay = named, momentum, steps, weight_decay
        self.buffers = {name: torch.zeros_like(parameter) for name, parameter in named.items()}
        self.stacks = stacks_of_one_shape(named)

    @torch.no_grad()
    def step(self, step: int, lr: float) -> None:
        """Nothing; one update from the gradients, which are spent."""
        momentum = momentum_at(self.momentum, step)
        for names in self.stacks:
            parameters = [self.named[name] for name in names]
            gradients = [gradient_of(parameter) for parameter in parameters]
            buffers = [self.buffers[name] for name in names]
            torch._foreach_mul_(buffers, momentum)
            torch._foreach_add_(buffers, gradients)
            torch._foreach_add_(gradients, buffers, alpha=momentum)
            update_NRC = orthogonalize(torch.stack(gradients), self.steps)
            if self.weight_decay:
                torch._foreach_mul_(parameters, 1 - lr * self.weight_decay)
            rows, columns = parameters[0].shape
            gain = max(1.0, rows / columns) ** 0.5
            torch._foreach_add_(parameters, list(update_NRC.unbind()), alpha=-lr * gain)

    def state(self) -> dict[str, Any]:
        return self.buffers

    def restore(self, state: dict[str, Any]) -> None:
        for name, buffer in self.buffers.items():
            buffer.copy_(state[name])


def stacks_of_one_shape(named: dict[str, Tensor]) -> list[list[str]]:
    """The names in stacks whose matrices have one shape, each as high as the device likes."""
    by_shape: dict[torch.Size, list[str]] = defaultdict(list)
    for name, matrix in named.items():
        by_shape[matrix.shape].append(name)
    stacks = []
    for shape, names in by_shape.items():
        is_cpu = named[names[0]].device.type == "cpu"
        height = max(1, CPU_STACK_VALUES // shape.numel()) if is_cpu else len(names)
        stacks += [names[start : start + height] for start in range(0, len(names), height)]
    return stacks
