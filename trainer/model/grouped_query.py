"""Grouped-query attention."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.model.attention import Attention
from trainer.model.block_inputs import BlockInputs
from trainer.model.gate import make_gate
from trainer.model.linear import linear, to_product_dtype
from trainer.model.norm import rms_norm
from trainer.recipe.attention import GroupedQuery
from trainer.recipe.model import Gpt


class GroupedQueryAttention(Attention):
    """Causal attention in which heads / kv_heads query heads share a key and a value (GQA).

    Queries and keys are RMS-normed, then rotated; a learned gain of each head then sets how sharp attention is.
    Source: GQA, arXiv 2305.13245; QK norm, arXiv 2010.04245.
    """

    def __init__(self, model: Gpt, recipe: GroupedQuery) -> None:
        super().__init__()
        self.heads, self.kv_heads = recipe.heads, recipe.kv_heads
        self.query = nn.Parameter(torch.empty(model.width, model.width))
        self.key = nn.Parameter(torch.empty(model.kv_width, model.width))
        self.value = nn.Parameter(torch.empty(model.kv_width, model.width))
        self.output = nn.Parameter(torch.zeros(model.width, model.width))
        self.q_gain = nn.Parameter(torch.full((self.heads,), recipe.q_gain))
        self.gate, self.gate_heads = make_gate(recipe, model.width)

    def readers(self) -> list[nn.Parameter]:
        return [self.query, self.key, self.value]

    def forward(self, x_BTD: Tensor, scale_D: Tensor, inputs: BlockInputs) -> tuple[Tensor, Tensor]:
        """Return the scaled output of the needed tokens, and the values of all key/value heads side by side (F).

        Shapes: (B, T, D) -> (B, S, D), (B, T, F).
        """
        x_BSD = inputs.needed(x_BTD)
        q_BHSE = split_heads(linear(x_BSD, self.query), self.heads)
        k_BKTE = split_heads(linear(x_BTD, self.key), self.kv_heads)
        v_BTF = linear(x_BTD, self.value)
        if inputs.added_value_BTF is not None:
            v_BTF = to_product_dtype(v_BTF + inputs.added_value_BTF)
        v_BKTE = split_heads(v_BTF, self.kv_heads)
        length = x_BTD.size(1)
        q_BHSE = inputs.rotary.rotate(rms_norm(q_BHSE), length) * self.q_gain.to(q_BHSE.dtype)[:, None, None]
        q_BHSE, k_BKTE = to_product_dtype(q_BHSE), to_product_dtype(inputs.rotary.rotate(rms_norm(k_BKTE), length))
        y_BHSE = inputs.context.attend(q_BHSE, k_BKTE, v_BKTE)
        if inputs.execution.exclusive:
            y_BHSE = exclude_own_value(y_BHSE, split_heads(inputs.needed(v_BTF), self.kv_heads))
        if self.gate is not None:
            y_BHSE = y_BHSE * self.gate_heads(x_BSD, self.gate)
        return linear(y_BHSE.transpose(1, 2).flatten(2), self.output, scale_D), v_BTF


def exclude_own_value(y_BHTE: Tensor, v_BKTE: Tensor) -> Tensor:
    """Return each head's output without its component along the token's own value (exclusive self-attention, XSA).

    Query heads are grouped by the key/value head that they share. Shapes: (B, H, T, E), (B, K, T, E) -> (B, H, T, E).
    """
    direction_BKTE = F.normalize(v_BKTE, dim=-1)
    y_BKGTE = torch.unflatten(y_BHTE, 1, (v_BKTE.size(1), -1))
    along_BKGTE = (y_BKGTE * direction_BKTE[:, :, None]).sum(-1, keepdim=True) * direction_BKTE[:, :, None]
    return torch.flatten(y_BKGTE - along_BKGTE, 1, 2)


def split_heads(x_BTD: Tensor, heads: int) -> Tensor:
    """Return the channels by head.

    Shapes: (B, T, heads * E) -> (B, heads, T, E).
    """
    return torch.unflatten(x_BTD, -1, (heads, -1)).transpose(1, 2)
