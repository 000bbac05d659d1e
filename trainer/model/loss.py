"""Cross entropy of softcapped logits, without holding all logits at once."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

# exp(softcap) times the vocabulary size must fit a float32, because no maximum is subtracted.
LARGEST_FUSED_SOFTCAP = 60.0
# Logits held at one time: as many as fit a CPU's caches, and as keep a GPU busy.
CHUNK_VALUES = {"cpu": 1 << 22, "cuda": 1 << 26}


class ChunkedCrossEntropy(torch.autograd.Function):
    """mean(logsumexp(c tanh z) - c tanh z_target) with z = x w^T / c, a chunk of rows at a time.

    The gradient, c (softmax - onehot)(1 - tanh^2) / N, is computed with each chunk, so that the logits of all rows
    never exist at once. Products are computed in `dtype`, everything else in float32.
    """

    @staticmethod
    def forward(
        ctx: Any, x_ND: Tensor, weight_VD: Tensor, targets_N: Tensor, softcap: float, dtype: torch.dtype
    ) -> Tensor:
        narrow_VD, total = weight_VD.to(dtype), torch.zeros((), device=x_ND.device)
        grad_x_ND = torch.empty_like(x_ND) if ctx.needs_input_grad[0] else None
        grad_weight_VD = torch.zeros_like(weight_VD) if ctx.needs_input_grad[1] else None
        rows = max(1, CHUNK_VALUES[x_ND.device.type] // len(weight_VD))
        for start in range(0, len(x_ND), rows):
            chunk = slice(start, start + rows)
            inputs_ND = (x_ND[chunk] / softcap).to(dtype)
            z_NV = (inputs_ND @ narrow_VD.T).float()
            nats, grad_NV = nats_and_gradient(z_NV, targets_N[chunk], softcap, 1 / len(x_ND))
            total = total + nats
            if grad_x_ND is not None:
                grad_x_ND[chunk] = grad_NV.to(dtype) @ narrow_VD / softcap
            if grad_weight_VD is not None:
                grad_weight_VD += grad_NV.to(dtype).T @ inputs_ND
        ctx.save_for_backward(grad_x_ND, grad_weight_VD)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        grad_x_ND, grad_weight_VD = ctx.saved_tensors
        scaled = [None if part is None else grad * part for part in (grad_x_ND, grad_weight_VD)]
        return *scaled, None, None, None


def nats_and_gradient(z_NV: Tensor, targets_N: Tensor, softcap: float, share: float) -> tuple[Tensor, Tensor]:
    """Return `share` of the nats of all rows and its gradient by z; overwrites `z_NV`. Shapes: scalar, (N, V)."""
    tanh_NV = z_NV.tanh_()
    exp_NV = (tanh_NV * softcap).exp_()
    sum_N = exp_NV.sum(dim=-1)
    target_N = tanh_NV.gather(-1, targets_N[:, None]).squeeze(-1)
    nats = share * (sum_N.log() - softcap * target_N).sum()
    scale = share * softcap
    grad_NV = exp_NV.mul_((scale / sum_N)[:, None])
    grad_NV.scatter_add_(-1, targets_N[:, None], torch.full_like(target_N, -scale)[:, None])
    return nats, grad_NV.addcmul_(grad_NV * tanh_NV, tanh_NV, value=-1)


def mean_cross_entropy(
    x_ND: Tensor, weight_VD: Tensor, targets_N: Tensor, softcap: float, is_chunked: bool = True
) -> Tensor:
    """Return the mean nats of the targets under the softcapped logits x w^T. Shapes: scalar, float32."""
    if is_chunked and 0 < softcap <= LARGEST_FUSED_SOFTCAP:
        kind = x_ND.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x_ND.dtype
        with torch.autocast(kind, enabled=False):
            loss: Tensor = ChunkedCrossEntropy.apply(x_ND, weight_VD, targets_N, softcap, dtype)  # type: ignore[no-untyped-call]
        return loss
    return F.cross_entropy(softcapped(F.linear(x_ND, weight_VD).float(), softcap), targets_N)


def softcapped(logits: Tensor, softcap: float) -> Tensor:
    """Return softcap tanh(logits / softcap); a softcap of 0 means none. Shapes: any."""
    return softcap * torch.tanh(logits / softcap) if softcap else logits


def asymmetric_softcapped(logits: Tensor, softcaps_2: Tensor) -> Tensor:
    """Return logits with one softcap for positive and one for negative values. Source: #1923. Shapes: any, (2,)."""
    positive, negative = softcaps_2[0], softcaps_2[1]
    return torch.where(logits > 0, softcapped_by(logits, positive), softcapped_by(logits, negative))


def softcapped_by(logits: Tensor, softcap: Tensor) -> Tensor:
    return softcap * torch.tanh(logits / softcap)
