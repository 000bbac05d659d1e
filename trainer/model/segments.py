"""Segments: consecutive tokens that attend to each other and to no others."""

from typing import NamedTuple

import torch
from torch import Tensor


class Segments(NamedTuple):
    """Where the segments of a batch begin, as if its rows stood one after another."""

    bounds_N: Tensor
    """The first position of each segment, and then, at least once, the number of all tokens. int32."""
    longest: int
    """No segment has more tokens."""
    sizes: tuple[int, ...]
    """The tokens of each segment, known to the host, which does not have to wait for a device then."""


def number_segments(segments: Segments, tokens_BT: Tensor) -> Tensor:
    """Return the number of each token's segment, from 1. Shapes: (B, T) -> (B, T)."""
    positions_BT = torch.arange(tokens_BT.numel(), device=tokens_BT.device, dtype=torch.int32).view(tokens_BT.shape)
    return torch.searchsorted(segments.bounds_N, positions_BT, right=True)
