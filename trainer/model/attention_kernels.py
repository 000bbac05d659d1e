"""What computes attention: all of these give the same, up to rounding, and differ in what they like."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from trainer.model.blocked_attention import blocked_attention
from trainer.recipe.compute import AttentionKernel

# Queries of the last S tokens, keys and values of all.
# Shapes: (B, H, S, E), (B, K, T, E), (B, K, T, E) -> (B, H, S, E).
Attend = Callable[[Tensor, Tensor, Tensor], Tensor]

# cuDNN takes heads in multiples of this; for 46 or 52 (#1579, #1817) torch would do without it.
HEAD_MULTIPLE = 8
PINNED = {"flash": SDPBackend.FLASH_ATTENTION, "cudnn": SDPBackend.CUDNN_ATTENTION}


def kernel_of(word: AttentionKernel, device_type: str, head_width: int) -> AttentionKernel:
    """The kernel that a recipe's word means where none was tried: on a CPU blocks, on a GPU what won there."""
    if word not in ("automatic", "measured"):
        return word
    if device_type == "cpu":
        return "blocked"
    return "padded" if head_width % HEAD_MULTIPLE else "library"


def make_attend(word: AttentionKernel, device_type: str, head_width: int, documents_BT: Tensor | None = None) -> Attend:
    """The attention that a recipe's word means on a device, within documents where tokens are numbered by them."""
    kernel, mask_B1TT = kernel_of(word, device_type, head_width), None
    if documents_BT is not None:
        from trainer.model.document_attention import document_mask, make_flex_attend

        if kernel == "flex" and torch.compiler.is_compiling():
            return make_flex_attend(documents_BT)
        mask_B1TT = document_mask(documents_BT)
    match kernel:
        case "flash" | "cudnn":
            return partial(pinned_attention, PINNED[kernel], mask_B1TT=mask_B1TT)
        case "padded":
            return partial(padded_attention, mask_B1TT=mask_B1TT)
        case "blocked":
            return partial(blocked_attention, mask_B1TT=mask_B1TT)
        case _:
            return partial(library_attention, mask_B1TT=mask_B1TT)


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
