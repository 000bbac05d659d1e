"""What computes attention: all of these give the same, up to rounding, and differ in what they like."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from trainer.recipe.compute import AttentionKernel

# Queries, keys, values, and which earlier token each token may see, where not all of them.
# Shapes: (B, H, T, E), (B, K, T, E), (B, K, T, E), (B, 1, T, T) or None -> (B, H, T, E).
Attend = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]

# Tensor cores take heads in multiples of this; 46 or 52 (#1579, #1817) are not what they like.
HEAD_MULTIPLE = 64


def make_attend(kernel: AttentionKernel, device_type: str) -> Attend:
    """The attention of a recipe's word. By itself: blocks on a CPU, where they were measured, else torch's own."""
    if kernel == "padded":
        return padded_attention
    if kernel == "blocked" or (kernel == "automatic" and device_type == "cpu"):
        from trainer.model.blocked_attention import blocked_attention

        return blocked_attention
    return library_attention


def library_attention(q_BHTE: Tensor, k_BKTE: Tensor, v_BKTE: Tensor, mask_B1TT: Tensor | None) -> Tensor:
    """Attention by the kernel that torch chooses."""
    return F.scaled_dot_product_attention(
        q_BHTE,
        k_BKTE,
        v_BKTE,
        attn_mask=mask_B1TT,
        is_causal=mask_B1TT is None,
        enable_gqa=q_BHTE.size(1) != k_BKTE.size(1),
    )


def padded_attention(q_BHTE: Tensor, k_BKTE: Tensor, v_BKTE: Tensor, mask_B1TT: Tensor | None) -> Tensor:
    """The same with zeros at the end of each head, which change no product."""
    width = q_BHTE.size(-1)
    zeros = -width % HEAD_MULTIPLE
    q_BHTE = q_BHTE * ((width + zeros) / width) ** 0.5  # undoes the root of the padded width
    q_BHTE, k_BKTE, v_BKTE = (F.pad(x, (0, zeros)) for x in (q_BHTE, k_BKTE, v_BKTE))
    return library_attention(q_BHTE, k_BKTE, v_BKTE, mask_B1TT)[..., :width]
