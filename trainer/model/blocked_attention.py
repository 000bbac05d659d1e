"""Causal attention by blocks of queries, for CPUs.

Torch's CPU kernel multiplies in float32 whatever its inputs are, and its backward pass works on tiles too small for a
matrix library. Here each block of queries meets all keys up to its end in one batched product. On a processor with
bfloat16 instructions this is several times as fast. Blocks above the diagonal are not computed.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

BLOCK = 128


class BlockedAttention(torch.autograd.Function):
    """softmax(q k^T) v for the last S of T tokens, with one key and value for the G query heads that share them.

    The softmax of each block of queries is kept for the backward pass: N G T^2 / 2 values if S is T.
    Shapes: (N, G, S, E), (N, T, E), (N, T, E) -> (N, G, S, E).
    """

    @staticmethod
    def forward(ctx: Any, q_NGSE: Tensor, k_NTE: Tensor, v_NTE: Tensor) -> Tensor:
        y_NGSE, kept, before = torch.empty_like(q_NGSE), [], k_NTE.size(1) - q_NGSE.size(2)
        for start in range(0, q_NGSE.size(2), BLOCK):
            q_NRE, end = rows(q_NGSE, start)
            seen = before + end
            shares_NRC = shares(q_NRE @ k_NTE[:, :seen].mT, q_NGSE.size(1), before + start)
            y_NGSE[:, :, start:end] = torch.unflatten(shares_NRC @ v_NTE[:, :seen], 1, (q_NGSE.size(1), -1))
            if any(ctx.needs_input_grad):
                kept.append(shares_NRC)
        ctx.save_for_backward(q_NGSE, k_NTE, v_NTE, y_NGSE, *kept)
        return y_NGSE

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_NGSE: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q_NGSE, k_NTE, v_NTE, y_NGSE, *kept = ctx.saved_tensors
        grad_q_NGSE = torch.empty_like(q_NGSE)
        grad_k_NTE, grad_v_NTE = (torch.zeros_like(k_NTE, dtype=torch.float32) for _ in range(2))
        # The sum over columns of softmax x its gradient equals this product with the output.
        weighted_NGS1 = (grad_NGSE.float() * y_NGSE.float()).sum(-1, keepdim=True).to(q_NGSE.dtype)
        for start, shares_NRC in zip(range(0, q_NGSE.size(2), BLOCK), kept, strict=True):
            grad_NRE, end = rows(grad_NGSE, start)
            seen = shares_NRC.size(-1)
            grad_v_NTE[:, :seen] += shares_NRC.mT @ grad_NRE
            scores_NRC = (grad_NRE @ v_NTE[:, :seen].mT).sub_(rows(weighted_NGS1, start)[0]).mul_(shares_NRC)
            grad_q_NGSE[:, :, start:end] = torch.unflatten(scores_NRC @ k_NTE[:, :seen], 1, (q_NGSE.size(1), -1))
            grad_k_NTE[:, :seen] += scores_NRC.mT @ rows(q_NGSE, start)[0]
        return grad_q_NGSE, grad_k_NTE.to(k_NTE.dtype), grad_v_NTE.to(v_NTE.dtype)


def rows(x_NGSE: Tensor, start: int) -> tuple[Tensor, int]:
    """Return the block of queries from `start` on, with its G heads stacked as rows, and its end. Shapes: (N, R, E)."""
    end = min(start + BLOCK, x_NGSE.size(2))
    return x_NGSE[:, :, start:end].flatten(1, 2), end


def shares(scores_NRC: Tensor, group: int, start: int) -> Tensor:
    """Return the softmax, computed in float32, over what each row may see. The first row is that of token `start`.

    Shapes: (N, R, C) -> (N, R, C), in the dtype of the scores.
    """
    wide_NGSC = torch.unflatten(scores_NRC.float(), 1, (group, -1))
    length = wide_NGSC.size(-1) - start
    future_SS = torch.ones(length, length, dtype=torch.bool, device=scores_NRC.device).triu(1)
    wide_NGSC[..., start:].masked_fill_(future_SS, -torch.inf)
    return torch.softmax(wide_NGSC, dim=-1).to(scores_NRC.dtype).flatten(1, 2)


def blocked_attention(q_BHSE: Tensor, k_BKTE: Tensor, v_BKTE: Tensor) -> Tensor:
    """Compute attention by blocks of queries. Shapes: those of `AttentionFunction`."""
    kv_heads = k_BKTE.size(1)
    q_NGSE = torch.unflatten(q_BHSE * q_BHSE.size(-1) ** -0.5, 1, (kv_heads, -1)).flatten(0, 1)
    k_NTE, v_NTE = (x.to(q_BHSE.dtype).flatten(0, 1) for x in (k_BKTE, v_BKTE))
    y_NGSE: Tensor = BlockedAttention.apply(q_NGSE, k_NTE, v_NTE)  # type: ignore[no-untyped-call]
    return torch.unflatten(y_NGSE, 0, (-1, kv_heads)).flatten(1, 2)
