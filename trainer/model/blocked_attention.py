"""Causal attention by blocks of queries, for CPUs.

Torch's kernel for CPUs multiplies in float32 whatever it is given, and takes its backward pass apart into tiles too
small for a matrix library. Here each block of queries meets all keys up to its end in one batched product, which on a
processor with bfloat16 instructions is several times as fast; nothing above the diagonal's blocks is computed.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

BLOCK = 128


class BlockedAttention(torch.autograd.Function):
    """softmax(q k^T) v. Keys and values stand once for all G query heads that share them.

    Shapes: (N, G, T, E), (N, T, E), (N, T, E), (N, 1, T, T) or None -> (N, G, T, E). The shares of each block of
    queries are kept for the backward pass: N G T^2 / 2 values.
    """

    @staticmethod
    def forward(ctx: Any, q_NGTE: Tensor, k_NTE: Tensor, v_NTE: Tensor, mask_N1TT: Tensor | None) -> Tensor:
        y_NGTE, kept = torch.empty_like(q_NGTE), []
        for start in range(0, q_NGTE.size(2), BLOCK):
            q_NRE, end = rows(q_NGTE, start)
            shares_NRC = shares(q_NRE @ k_NTE[:, :end].mT, q_NGTE.size(1), start, mask_N1TT)
            y_NGTE[:, :, start:end] = torch.unflatten(shares_NRC @ v_NTE[:, :end], 1, (q_NGTE.size(1), -1))
            if any(ctx.needs_input_grad):
                kept.append(shares_NRC)
        ctx.save_for_backward(q_NGTE, k_NTE, v_NTE, y_NGTE, *kept)
        return y_NGTE

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_NGTE: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        q_NGTE, k_NTE, v_NTE, y_NGTE, *kept = ctx.saved_tensors
        grad_q_NGTE = torch.empty_like(q_NGTE)
        grad_k_NTE, grad_v_NTE = (torch.zeros_like(k_NTE, dtype=torch.float32) for _ in range(2))
        # sum over columns of share x its gradient, by way of the output
        weighted_NGT1 = (grad_NGTE.float() * y_NGTE.float()).sum(-1, keepdim=True).to(q_NGTE.dtype)
        for start, shares_NRC in zip(range(0, q_NGTE.size(2), BLOCK), kept, strict=True):
            grad_NRE, end = rows(grad_NGTE, start)
            grad_v_NTE[:, :end] += shares_NRC.mT @ grad_NRE
            scores_NRC = (grad_NRE @ v_NTE[:, :end].mT).sub_(rows(weighted_NGT1, start)[0]).mul_(shares_NRC)
            grad_q_NGTE[:, :, start:end] = torch.unflatten(scores_NRC @ k_NTE[:, :end], 1, (q_NGTE.size(1), -1))
            grad_k_NTE[:, :end] += scores_NRC.mT @ rows(q_NGTE, start)[0]
        return grad_q_NGTE, grad_k_NTE.to(k_NTE.dtype), grad_v_NTE.to(v_NTE.dtype), None


def rows(x_NGTE: Tensor, start: int) -> tuple[Tensor, int]:
    """The block that begins at `start`, its heads one below the other, and where it ends. Shapes: (N, R, E)."""
    end = min(start + BLOCK, x_NGTE.size(2))
    return x_NGTE[:, :, start:end].flatten(1, 2), end


def shares(scores_NRC: Tensor, group: int, start: int, mask_N1TT: Tensor | None) -> Tensor:
    """Softmax in float32 over what each row may see. Shapes: (N, R, C) -> (N, R, C), of the scores' type."""
    wide_NGTC = torch.unflatten(scores_NRC.float(), 1, (group, -1))
    end = wide_NGTC.size(-1)
    if mask_N1TT is not None:
        wide_NGTC = wide_NGTC.masked_fill(~mask_N1TT[:, :, start:end, :end], -torch.inf)
    else:
        length = end - start
        future_TT = torch.ones(length, length, dtype=torch.bool, device=scores_NRC.device).triu(1)
        wide_NGTC[..., start:].masked_fill_(future_TT, -torch.inf)
    return torch.softmax(wide_NGTC, dim=-1).to(scores_NRC.dtype).flatten(1, 2)


def blocked_attention(q_BHTE: Tensor, k_BKTE: Tensor, v_BKTE: Tensor, mask_B1TT: Tensor | None) -> Tensor:
    """Attention by blocks of queries. Shapes: those of `Attend`."""
    kv_heads = k_BKTE.size(1)
    q_NGTE = torch.unflatten(q_BHTE * q_BHTE.size(-1) ** -0.5, 1, (kv_heads, -1)).flatten(0, 1)
    k_NTE, v_NTE = (x.to(q_BHTE.dtype).flatten(0, 1) for x in (k_BKTE, v_BKTE))
    mask_N1TT = None if mask_B1TT is None else mask_B1TT.repeat_interleave(kv_heads, dim=0)
    y_NGTE: Tensor = BlockedAttention.apply(q_NGTE, k_NTE, v_NTE, mask_N1TT)  # type: ignore[no-untyped-call]
    return torch.unflatten(y_NGTE, 0, (-1, kv_heads)).flatten(1, 2)
