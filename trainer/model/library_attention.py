"""Attention by the kernels of torch."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

# cuDNN needs head widths in multiples of this; with 46 or 52 (#1579, #1817) torch would not use it.
HEAD_MULTIPLE = 8


def library_attention(
    q_BHSE: Tensor, k_BKTE: Tensor, v_BKTE: Tensor, mask_B1TT: Tensor | None = None, scale: float | None = None
) -> Tensor:
    """Compute attention by the kernel that torch chooses.

    `scale` multiplies the products of queries and keys; it defaults to one over the root of their width.
    """
    asked, length = q_BHSE.size(-2), k_BKTE.size(-2)
    is_causal = mask_B1TT is None and asked == length
    if mask_B1TT is not None:
        mask_B1TT = mask_B1TT[:, :, -asked:]
    elif not is_causal:  # torch aligns the first query with the first key
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


def pinned_attention(kernel: SDPBackend, q_BHSE: Tensor, k_BKTE: Tensor, v_BKTE: Tensor) -> Tensor:
    """Compute attention by the given kernel of torch, or by torch's choice if S < T.

    Raises:
        RuntimeError: the kernel does not support the inputs.
    """
    if q_BHSE.size(-2) != k_BKTE.size(-2):
        return library_attention(q_BHSE, k_BKTE, v_BKTE)
    with sdpa_kernel(kernel):
        return library_attention(q_BHSE, k_BKTE, v_BKTE)


def padded_attention(q_BHSE: Tensor, k_BKTE: Tensor, v_BKTE: Tensor) -> Tensor:
    """Compute attention with zeros appended to each head, which change no product."""
    width = q_BHSE.size(-1)
    zeros = -width % HEAD_MULTIPLE
    q_BHSE, k_BKTE, v_BKTE = (F.pad(x, (0, zeros)) for x in (q_BHSE, k_BKTE, v_BKTE))
    return library_attention(q_BHSE, k_BKTE, v_BKTE, scale=width**-0.5)[..., :width]
