"""Attention within segments: segment by segment, by a kernel for GPUs that takes all of them, or with a mask.

A dense mask has an entry for each pair of tokens of a row; the other ways have none.
"""

from functools import partial
from inspect import signature

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from trainer.model.attention_function import AttentionFunction
from trainer.model.library_attention import HEAD_MULTIPLE, library_attention
from trainer.model.segments import Segments, number_segments
from trainer.runtime.failure import LaunchRefused

try:
    from torch.nn.attention.varlen import varlen_attn
except ImportError:  # before torch 2.10
    varlen_attn = None  # type: ignore[assignment]
VARLEN_OPTIONS = {"scale", "window_size", "enable_gqa"}
HAS_VARLEN = varlen_attn is not None and signature(varlen_attn).parameters.keys() >= VARLEN_OPTIONS


def make_segment_attention(kernel: str, attend: AttentionFunction, segments: Segments) -> AttentionFunction:
    """Return causal attention within segments; `attend` is that of a row by the kernel of this name."""
    if torch.compiler.is_compiling() and kernel == "flex":
        return partial(flex_attend, segments)
    return partial(attend_within, segments, attend)


def attend_within(
    segments: Segments, attend: AttentionFunction, q_BHSE: Tensor, k_BKTE: Tensor, v_BKTE: Tensor
) -> Tensor:
    """Compute attention within segments, in the way that these inputs allow. Shapes: those of `AttentionFunction`."""
    if q_BHSE.size(-2) != k_BKTE.size(-2):
        return library_attention(q_BHSE, k_BKTE, v_BKTE, segment_mask(segments, k_BKTE))
    if q_BHSE.device.type == "cuda" and q_BHSE.dtype in (torch.bfloat16, torch.float16):
        return attend_at_once(segments, q_BHSE, k_BKTE, v_BKTE)
    if torch.compiler.is_compiling() and q_BHSE.device.type == "cuda":
        return flex_attend(segments, q_BHSE, k_BKTE, v_BKTE)
    if torch.compiler.is_compiling():  # a graph cannot have as many parts as there are segments
        return library_attention(q_BHSE, k_BKTE, v_BKTE, segment_mask(segments, k_BKTE))
    return attend_one_by_one(segments, attend, q_BHSE, k_BKTE, v_BKTE)


def attend_one_by_one(
    segments: Segments, attend: AttentionFunction, q_BHTE: Tensor, k_BKTE: Tensor, v_BKTE: Tensor
) -> Tensor:
    """Compute attention segment by segment."""
    split = (torch.split(by_position(x), list(segments.sizes), dim=1) for x in (q_BHTE, k_BKTE, v_BKTE))
    parts = zip(*split, strict=True)
    y_HNE = torch.cat([attend(q[None], k[None], v[None])[0] for q, k, v in parts], dim=1)
    return torch.unflatten(y_HNE, 1, (q_BHTE.size(0), -1)).transpose(0, 1)


def by_position(x_BHTE: Tensor) -> Tensor:
    """Return the rows of a batch one after another. Shapes: (B, H, T, E) -> (H, B T, E)."""
    return x_BHTE.transpose(0, 1).flatten(1, 2)


def attend_at_once(segments: Segments, q_BHTE: Tensor, k_BKTE: Tensor, v_BKTE: Tensor) -> Tensor:
    """Compute attention in all segments by torch's kernel for sequences of unequal lengths, which needs a GPU.

    Raises:
        LaunchRefused: this torch has none that takes what it needs.
    """
    if not HAS_VARLEN:
        raise LaunchRefused(
            f"documents that are kept apart need torch 2.12 or newer on a GPU, found {torch.__version__}; with an "
            "older one set recipe.compute.attention to flex, or to flash_attn if that package is installed"
        )
    width = q_BHTE.size(-1)
    q, k, v = (F.pad(by_position(x).transpose(0, 1), (0, -width % HEAD_MULTIPLE)) for x in (q_BHTE, k_BKTE, v_BKTE))
    bounds, longest, _ = segments
    y_NHE = varlen_attn(
        q,
        k.to(q.dtype),
        v.to(q.dtype),
        bounds,
        bounds,
        longest,
        longest,
        scale=width**-0.5,
        window_size=(-1, 0),
        enable_gqa=q.size(1) != k.size(1),
    )
    assert isinstance(y_NHE, Tensor)
    return torch.unflatten(y_NHE[..., :width], 0, (q_BHTE.size(0), -1)).transpose(1, 2)


def segment_mask(segments: Segments, k_BKTE: Tensor) -> Tensor:
    """Return which tokens each token sees: those of its segment up to itself. Shapes: -> (B, 1, T, T), bool."""
    numbers_BT = number_segments(segments, k_BKTE[:, 0, :, 0])
    return (numbers_BT[:, :, None] == numbers_BT[:, None, :]).tril()[:, None]


def flex_attend(segments: Segments, q_BHSE: Tensor, k_BKTE: Tensor, v_BKTE: Tensor) -> Tensor:
    """Compute attention by FlexAttention, which has to be compiled, and has no gradients on a CPU."""
    if q_BHSE.size(-2) != k_BKTE.size(-2):
        return library_attention(q_BHSE, k_BKTE, v_BKTE, segment_mask(segments, k_BKTE))
    is_shared = q_BHSE.size(1) != k_BKTE.size(1)
    mask = block_mask(number_segments(segments, k_BKTE[:, 0, :, 0]))
    y_BHSE = flex_attention(q_BHSE, k_BKTE, v_BKTE, block_mask=mask, enable_gqa=is_shared)
    assert isinstance(y_BHSE, Tensor)
    return y_BHSE


def block_mask(numbers_BT: Tensor) -> BlockMask:
    """Return FlexAttention's mask of blocks: no token sees later tokens or other segments."""

    def sees(batch: Tensor, _: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (query >= key) & (numbers_BT[batch, query] == numbers_BT[batch, key])

    batch, length = numbers_BT.shape
    return create_block_mask(sees, batch, None, length, length, device=numbers_BT.device)
