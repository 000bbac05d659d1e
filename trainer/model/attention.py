"""Grouped-query attention."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.model.norm import rms_norm
from trainer.model.rope import Rotary
from trainer.recipe.model import Gpt


class GroupedQueryAttention(nn.Module):
    """Causal attention in which heads / kv_heads query heads share a key and a value (GQA).

    Queries and keys are RMS-normed, then rotated; a learned gain a head then sets how sharp attention is.
    Source: GQA, arXiv 2305.13245; QK norm, arXiv 2010.04245.
    """

    def __init__(self, model: Gpt) -> None:
        super().__init__()
        self.heads, self.kv_heads = model.attention.heads, model.attention.kv_heads
        self.query = nn.Parameter(torch.empty(model.width, model.width))
        self.key = nn.Parameter(torch.empty(model.kv_width, model.width))
        self.value = nn.Parameter(torch.empty(model.kv_width, model.width))
        self.output = nn.Parameter(torch.zeros(model.width, model.width))
        self.q_gain = nn.Parameter(torch.full((self.heads,), model.attention.q_gain))

    def forward(self, x_BTD: Tensor, scale_D: Tensor, rotary: Rotary, mask_B1TT: Tensor | None = None) -> Tensor:
        """What each token gathers from those before it and itself, or from those that the mask allows, each channel
        scaled. Scaling the rows of the last matrix is the same for far fewer numbers.

        Shapes: (B, T, D) -> (B, T, D).
        """
        q_BHTE = split_heads(F.linear(x_BTD, self.query), self.heads)
        k_BKTE = split_heads(F.linear(x_BTD, self.key), self.kv_heads)
        v_BKTE = split_heads(F.linear(x_BTD, self.value), self.kv_heads)
        q_BHTE = rotary.rotate(rms_norm(q_BHTE)) * self.q_gain.to(q_BHTE.dtype)[:, None, None]
        k_BKTE = rotary.rotate(rms_norm(k_BKTE))
        is_grouped = self.heads != self.kv_heads
        y_BHTE = F.scaled_dot_product_attention(
            q_BHTE, k_BKTE, v_BKTE, attn_mask=mask_B1TT, is_causal=mask_B1TT is None, enable_gqa=is_grouped
        )
        return F.linear(y_BHTE.transpose(1, 2).flatten(2), scale_D[:, None] * self.output)


def split_heads(x_BTD: Tensor, heads: int) -> Tensor:
    """Shapes: (B, T, heads * E) -> (B, heads, T, E)."""
    return torch.unflatten(x_BTD, -1, (heads, -1)).transpose(1, 2)
