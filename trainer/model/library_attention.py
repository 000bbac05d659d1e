"""Attention by the kernels that come with torch."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

# cuDNN takes heads in multiples of this; for 46 or 52 (#1579, #1817) torch would do without it.
HEAD_MULTIPLE = 8


def library_attention(
    q_BHSE: Tensor, k_BKTE: Tensor, v_BKTE: Tensor, mask_B1TT: Tensor | None = None, scale: float | None = None
) -> Tensor:
    """Attention by the kernel that torch chooses. `scale` is what products of queries and keys are multiplied with, if
    not one over the root of their width.
    """
    asked, length = q_BHSE.size(-2), k_BKTE.size(-2)
    is_causal = mask_B1TT is None and asked == length
    if mask_B1TT is not None:
        mask_B1TT = mask_B1TT[:, :, -asked:]
    elif not is_causal:  # torch takes the first query for the first token's
        mask_B1TT = torch.ones(asked, length, dtype=torch.bool, device=q_BHSE.device).tril(length - asked)
    return F.scaled_dot_product_attention(
        q_BHSE,
        k_BKTE,
        v_BKTE,
        attn_mask=mask_B1TT,
        is_causal=is_causal,
        scale=scale,
        enable_gqa=q_BHSE.size(1) != k_BKTE.size(1),
    )


def pinned_attention(
    kernel: SDPBackend, q_BHSE: Tensor, k_BKTE: Tensor, v_BKTE: Tensor, mask_B1TT: Tensor | None = None
) -> Tensor:
    """Attention by one of torch's kernels, where every token sees all before it; else by torch's choice.

    Raises: RuntimeError when the kernel cannot do it.
    """
    if mask_B1TT is not None or q_BHSE.size(-2) != k_BKTE.size(-2):
        return library_attention(q_BHSE, k_BKTE, v_BKTE, mask_B1TT)
    with sdpa_kernel(kernel):
        return library_attention(q_BHSE, k_BKTE, v_BKTE)


def padded_attention(q_BHSE: Tensor, k_BKTE: Tensor, v_BKTE: Tensor, mask_B1TT: Tensor | None = None) -> Tensor:
    """The same with zeros at the end of each head, which change no product."""
    width = q_BHSE.size(-1)
    zeros = -width % HEAD_MULTIPLE
    q_BHSE, k_BKTE, v_BKTE = (F.pad(x, (0, zeros)) for x in (q_BHSE, k_BKTE, v_BKTE))
    return library_attention(q_BHSE, k_BKTE, v_BKTE, mask_B1TT, scale=width**-0.5)[..., :width]
