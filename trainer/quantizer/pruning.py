"""Pruning: small weights set to zero before rounding."""

import torch
from torch import Tensor


def prune_smallest(w_RC: Tensor, share: float) -> Tensor:
    """Return the matrix with a share of its weights, the smallest ones, set to zero. Shapes: (R, C) -> (R, C)."""
    count = int(share * w_RC.numel())
    if not count:
        return w_RC
    threshold = w_RC.abs().flatten().kthvalue(count).values
    return torch.where(w_RC.abs() <= threshold, 0.0, w_RC)
