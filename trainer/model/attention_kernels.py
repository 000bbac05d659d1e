"""The choice of an attention kernel. All of them compute the same up to rounding, at different speeds."""

from functools import partial

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend

from trainer.model.attention_function import AttentionFunction
from trainer.model.blocked_attention import blocked_attention
from trainer.model.library_attention import HEAD_MULTIPLE, library_attention, padded_attention, pinned_attention
from trainer.recipe.compute import AttentionKernel

PINNED = {"flash": SDPBackend.FLASH_ATTENTION, "cudnn": SDPBackend.CUDNN_ATTENTION}


def resolve_kernel(word: AttentionKernel, device_type: str, head_width: int) -> AttentionKernel:
    """Return the kernel that a recipe's word stands for: by default the one that won the benchmarks on each device."""
    if word not in ("automatic", "measured"):
        return word
    if device_type == "cpu":
        return "blocked"
    return "padded" if head_width % HEAD_MULTIPLE else "library"


def make_attention_function(
    word: AttentionKernel, device_type: str, head_width: int, documents_BT: Tensor | None = None
) -> AttentionFunction:
    """Return the attention that a recipe's word stands for, within documents if `documents_BT` numbers them."""
    kernel, mask_B1TT = resolve_kernel(word, device_type, head_width), None
    if documents_BT is not None:
        from trainer.model.document_attention import document_mask, make_flex_attention

        if kernel == "flex" and torch.compiler.is_compiling():
            return make_flex_attention(documents_BT)
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
