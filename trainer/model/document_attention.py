"""Attention within documents: a dense mask, or torch's FlexAttention on GPUs.

FlexAttention needs no dense mask and skips blocks of tokens that see nothing of each other.
"""

from functools import partial

from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from trainer.model.attention_function import AttentionFunction
from trainer.model.library_attention import library_attention


def document_mask(documents_BT: Tensor) -> Tensor:
    """Return which tokens each token sees: those of its document up to itself. Shapes: (B, T) -> (B, 1, T, T), bool."""
    is_same_BTT = documents_BT[:, :, None] == documents_BT[:, None, :]
    return is_same_BTT.tril()[:, None]


def make_flex_attention(documents_BT: Tensor) -> AttentionFunction:
    """Return causal attention within documents.

    It has to be compiled, since in eager mode it would hold all pairs of tokens, and has no gradients on a CPU.
    """
    return partial(flex_attend, documents_BT, block_mask(documents_BT))


def flex_attend(documents_BT: Tensor, mask: BlockMask, q_BHSE: Tensor, k_BKTE: Tensor, v_BKTE: Tensor) -> Tensor:
    """Compute attention within documents. Shapes: those of `AttentionFunction`."""
    if q_BHSE.size(-2) != k_BKTE.size(-2):
        return library_attention(q_BHSE, k_BKTE, v_BKTE, document_mask(documents_BT))
    is_shared = q_BHSE.size(1) != k_BKTE.size(1)
    y_BHSE = flex_attention(q_BHSE, k_BKTE, v_BKTE, block_mask=mask, enable_gqa=is_shared)
    assert isinstance(y_BHSE, Tensor)
    return y_BHSE


def block_mask(documents_BT: Tensor) -> BlockMask:
    """Return FlexAttention's mask of blocks: no token sees later tokens or other documents."""

    def sees(batch: Tensor, _: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (query >= key) & (documents_BT[batch, query] == documents_BT[batch, key])

    batch, length = documents_BT.shape
    return create_block_mask(sees, batch, None, length, length, device=documents_BT.device)
