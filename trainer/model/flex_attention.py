"""Attention within documents on a GPU, by torch's FlexAttention: blocks of tokens that see nothing of each other are
not computed, and no mask of every pair is kept.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from trainer.model.attention_kernels import Attend, document_mask, library_attention


def make_flex_attend(documents_BT: Tensor | None) -> Attend:
    """Causal attention, within documents where tokens are numbered by them.

    Raises: NotImplementedError for gradients on a CPU, which this kernel has not.
    """
    if documents_BT is None:
        return library_attention  # every token sees all before it, for which there are faster kernels
    return partial(flex_attend, documents_BT, block_mask(documents_BT))


def flex_attend(documents_BT: Tensor, mask: BlockMask, q_BHSE: Tensor, k_BKTE: Tensor, v_BKTE: Tensor) -> Tensor:
    """Attention within documents. Shapes: those of `Attend`."""
    if q_BHSE.size(-2) != k_BKTE.size(-2):
        return library_attention(q_BHSE, k_BKTE, v_BKTE, document_mask(documents_BT))
    is_shared = q_BHSE.size(1) != k_BKTE.size(1)
    attention: Any = flex_attention if torch.compiler.is_compiling() else fused(flex_attention)
    y_BHSE: Tensor = attention(q_BHSE, k_BKTE, v_BKTE, block_mask=mask, enable_gqa=is_shared)
    return y_BHSE


def block_mask(documents_BT: Tensor) -> BlockMask:
    """Which blocks of tokens see which: none looks ahead, or into another document."""

    def sees(batch: Tensor, _: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (query >= key) & (documents_BT[batch, query] == documents_BT[batch, key])

    batch, length = documents_BT.shape
    return create_block_mask(sees, batch, None, length, length, device=documents_BT.device)


@cache
def fused(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as one kernel; as torch has it, it would keep every pair of tokens."""
    return torch.compile(function, dynamic=False)
