"""Gates on the outputs of attention heads."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.recipe.attention import DenseGate, GroupedQuery, NoGate, SparseGate

GateHeads = Callable[[Tensor, Tensor], Tensor]


def make_gate(recipe: GroupedQuery, width: int) -> tuple[nn.Parameter | None, GateHeads]:
    """Return the weights of a gate, and the function from a normed input and the weights to a factor of each head."""
    gate, heads = recipe.gate, recipe.heads
    match gate:
        case SparseGate():
            return nn.Parameter(torch.zeros(heads, gate.inputs)), partial(scaled_factors, gate)
        case DenseGate():
            return nn.Parameter(torch.randn(heads, width) * gate.deviation), head_factors
        case NoGate():
            return None, head_factors


def scaled_factors(gate: SparseGate, x_BTD: Tensor, w_HC: Tensor) -> Tensor:
    """Return gain * sigmoid(scale * w x[:C]) of each head and token. Shapes: (B, T, D), (H, C) -> (B, H, T, 1)."""
    return gate.gain * head_factors(x_BTD, w_HC, gate.scale)


def head_factors(x_BTD: Tensor, w_HC: Tensor, scale: float = 1.0) -> Tensor:
    """Return sigmoid(scale * w x[:C]) of each head and token. Shapes: (B, T, D), (H, C) -> (B, H, T, 1)."""
    return torch.sigmoid(scale * F.linear(x_BTD[..., : w_HC.size(1)], w_HC)).transpose(1, 2)[..., None]
