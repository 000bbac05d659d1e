"""Cross entropy behind a softcap, in half the passes over the logits."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

# exp(softcap) times the vocabulary must be a float32, so that no maximum need be subtracted.
LARGEST_FUSED_SOFTCAP = 60.0


class SoftcappedCrossEntropy(torch.autograd.Function):
    """mean(logsumexp(c tanh z) - c tanh z_target), with tanh and exp made once and changed in place.

    The gradient is c (softmax - onehot)(1 - tanh^2) / N. On a CPU the logits of a small model cost as much as its
    matrix products, and each pass over them counts. `z_NV` is consumed.
    """

    @staticmethod
    def forward(ctx: Any, z_NV: Tensor, targets_N: Tensor, softcap: float) -> Tensor:
        tanh_NV = z_NV.tanh_()
        exp_NV = (tanh_NV * softcap).exp_()
        total_N = exp_NV.sum(dim=-1)
        ctx.save_for_backward(tanh_NV, exp_NV, total_N, targets_N)
        ctx.softcap = softcap
        target_N = tanh_NV.gather(-1, targets_N[:, None]).squeeze(-1)
        return (total_N.log() - softcap * target_N).mean()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        tanh_NV, exp_NV, total_N, targets_N = ctx.saved_tensors
        scale = grad * ctx.softcap / len(targets_N)
        grad_NV = exp_NV.mul_((scale / total_N)[:, None])
        grad_NV.scatter_add_(-1, targets_N[:, None], -scale.expand(len(targets_N), 1))
        return grad_NV.addcmul_(grad_NV * tanh_NV, tanh_NV, value=-1), None, None


def mean_cross_entropy(x_ND: Tensor, weight_VD: Tensor, targets_N: Tensor, softcap: float) -> Tensor:
    """Mean nats of the targets under the softcapped logits of x and the head's weight. Shapes: scalar, float32."""
    if 0 < softcap <= LARGEST_FUSED_SOFTCAP:
        z_NV = F.linear(x_ND * (1 / softcap), weight_VD).float()
        loss: Tensor = SoftcappedCrossEntropy.apply(z_NV, targets_N, softcap)  # type: ignore[no-untyped-call]
        return loss
    return F.cross_entropy(softcapped(F.linear(x_ND, weight_VD).float(), softcap), targets_N)


def softcapped(logits: Tensor, softcap: float) -> Tensor:
    """softcap tanh(logits / softcap); a softcap of 0 is none. Shapes: any."""
    return softcap * torch.tanh(logits / softcap) if softcap else logits


def asymmetric_softcapped(logits: Tensor, softcaps_2: Tensor) -> Tensor:
    """A softcap of its own for positive and for negative logits (#1923). Shapes: any, (2,)."""
    positive, negative = softcaps_2[0], softcaps_2[1]
    return torch.where(logits > 0, softcapped_by(logits, positive), softcapped_by(logits, negative))


def softcapped_by(logits: Tensor, softcap: Tensor) -> Tensor:
    return softcap * torch.tanh(logits / softcap)
