"""Rotary position embedding."""

import torch
from torch import Tensor


class Rotary:
    """Cosines and sines by position, made once for each sequence length.

    Source: RoFormer, arXiv 2104.09864; halves instead of neighbours are paired, as in the challenge's scripts.
    """

    def __init__(self, dims: int, base: float) -> None:
        self.dims = dims
        self.frequencies = base ** -(torch.arange(0, dims, 2, dtype=torch.float64) / dims)
        self.tables: dict[tuple[int, torch.device], tuple[Tensor, Tensor]] = {}

    def table(self, length: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """cos and sin of position x frequency. Shapes: (T, dims / 2) each."""
        key = (length, device)
        if key not in self.tables:
            angle = torch.outer(torch.arange(length, dtype=torch.float64), self.frequencies).float().to(device)
            self.tables[key] = angle.cos(), angle.sin()
        return self.tables[key]

    def rotate(self, x_BHTE: Tensor) -> Tensor:
        """x with the first `dims` of each head turned by its position; the others pass."""
        cos, sin = (part.to(x_BHTE.dtype) for part in self.table(x_BHTE.size(-2), x_BHTE.device))
        half = self.dims // 2
        first, second, rest = torch.split(x_BHTE, [half, half, x_BHTE.size(-1) - self.dims], dim=-1)
        return torch.cat((first * cos + second * sin, second * cos - first * sin, rest), dim=-1)
