"""Rotary position embedding."""

import torch
from torch import Tensor

from trainer.recipe.execution_rope import ExecutionRope


class Rotary:
    """Cosines and sines by position, computed once for each sequence length.

    Beyond `trained_tokens` the base grows with the sequence length (NTK-aware scaling), so that the slowest wavelength
    spans as many sequences as before. Source: RoFormer, arXiv 2104.09864; halves of a head are paired instead of
    neighbours, as in the challenge's scripts.
    """

    def __init__(self, use: ExecutionRope) -> None:
        self.use = use
        self.dims = use.dims
        self.tables: dict[tuple[int, torch.device], tuple[Tensor, Tensor]] = {}

    def frequencies(self, length: int) -> Tensor:
        """Return the radians per token of each rotated pair. Shapes: (dims / 2,), float64."""
        use = self.use
        base = use.base
        if use.trained_tokens is not None and length > use.trained_tokens and use.dims > 2:
            base *= (length / use.trained_tokens) ** (use.dims / (use.dims - 2))
        return base ** -(torch.arange(0, use.dims, 2, dtype=torch.float64) / use.period_dims) / use.divisor

    def table(self, length: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return cos and sin of position x frequency. Shapes: (T, dims / 2) each."""
        key = (length, device)
        if key not in self.tables:
            angle = torch.outer(torch.arange(length, dtype=torch.float64), self.frequencies(length)).float().to(device)
            self.tables[key] = angle.cos(), angle.sin()
        return self.tables[key]

    def rotate(self, x_BHSE: Tensor, length: int) -> Tensor:
        """Rotate the first `dims` of each head by its position.

        The tokens of x are the last ones of a sequence of `length` tokens. Shapes: unchanged.
        """
        cos, sin = (part[-x_BHSE.size(-2) :].to(x_BHSE.dtype) for part in self.table(length, x_BHSE.device))
        half = self.dims // 2
        first, second, rest = torch.split(x_BHSE, [half, half, x_BHSE.size(-1) - self.dims], dim=-1)
        return torch.cat((first * cos + second * sin, second * cos - first * sin, rest), dim=-1)
