"""GPTQ: rounding that compensates its own errors (feedback.py says how).

Unlike in published scripts, the step of each row is fixed, and rounded to float16, before the first column is rounded.
So weights can be counted in steps, where the steps drop out of the feedback.

Matrices of one shape are rounded together, because a single column is too little work. The columns after a part of the
matrix are adjusted once for all of its columns, and within the part likewise, part of a part by part of a part: nearly
all arithmetic is in products of matrices.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from trainer.quantizer.feedback import Feedback
from trainer.quantizer.grid import GridOf, RowGrid
from trainer.quantizer.matrix import QuantizedMatrix
from trainer.quantizer.rtn import RoundToNearest
from trainer.recipe.quantizer import Gptq, TrellisGptq

# Weights that are rounded together: as many as fit into the caches of a CPU, or keep a GPU busy.
STACK_WEIGHTS = {"cpu": 1 << 20, "cuda": 1 << 26}
# A column of a trellis is so many small steps that more matrices at a time pay everywhere.
TRELLIS_STACK_WEIGHTS = 1 << 24

# How the columns of some matrices are rounded: from values in steps to codes and points. Shapes: (N, R) each.
Rounder = Callable[[Tensor], tuple[Tensor, Tensor]]


class GptqQuantizer:
    """Rounds matrices that have a feedback with GPTQ, and all others to the nearest point of the same grid."""

    def __init__(self, recipe: Gptq, feedbacks: Mapping[str, Feedback], grid_of: GridOf | None = None) -> None:
        self.recipe, self.feedbacks = recipe, feedbacks
        self.nearest = RoundToNearest(recipe, grid_of)

    def quantize(self, name: str, w_RC: Tensor) -> QuantizedMatrix:
        """Return codes and steps of a matrix. Raises what `quantize_all` raises."""
        return self.quantize_all({name: w_RC})[name]

    def quantize_all(self, matrices: Mapping[str, Tensor]) -> dict[str, QuantizedMatrix]:
        """Return codes and steps of each matrix.

        Raises:
            TrainingFailed: a row has no grid.
        """
        found = {name: self.nearest.quantize(name, w) for name, w in matrices.items() if name not in self.feedbacks}
        for names in self.stacks({name: w for name, w in matrices.items() if name in self.feedbacks}):
            grids = [self.nearest.grid_of(name, matrices[name]) for name in names]
            w_NRC = torch.stack([matrices[name] for name in names])
            codes_NRC = compensate_codes(w_NRC, [self.feedbacks[name] for name in names], grids, self.recipe)
            for name, codes_RC, grid in zip(names, codes_NRC, grids, strict=True):
                found[name] = grid.quantized(codes_RC)
        return {name: found[name] for name in matrices}

    def stacks(self, matrices: Mapping[str, Tensor]) -> Iterator[list[str]]:
        """Yield names of matrices of equal shape, in stacks that suit the device."""
        by_shape: dict[torch.Size, list[str]] = defaultdict(list)
        for name, w_RC in matrices.items():
            by_shape[w_RC.shape].append(name)
        for shape, names in by_shape.items():
            weights = STACK_WEIGHTS[matrices[names[0]].device.type]
            match self.recipe:
                case TrellisGptq():
                    weights = max(weights, TRELLIS_STACK_WEIGHTS)
            most = max(1, weights // shape.numel())
            for start in range(0, len(names), most):
                yield names[start : start + most]


def compensate_codes(w_NRC: Tensor, feedbacks: Sequence[Feedback], grids: Sequence[RowGrid], recipe: Gptq) -> Tensor:
    """Return the codes of some matrices of one shape. Shapes: (N, R, C) -> (N, R, C), float32.

    Works on the transpose, in which a column is contiguous in memory.
    """
    order_NC1 = torch.stack([feedback.order_C for feedback in feedbacks])[:, :, None]
    x_NRC = w_NRC.float() / torch.stack([grid.divisors_R1 for grid in grids])
    columns = Columns(
        x_NRC.mT.take_along_dim(order_NC1, dim=1).contiguous(),
        torch.stack([feedback.matrix_CC for feedback in feedbacks]),
        rounder_of(grids, recipe),
    )
    count = order_NC1.size(1)
    for start in range(0, count, recipe.block):
        stop = min(start + recipe.block, count)
        columns.round(start, stop)
        columns.adjust(start, stop, count)
    return columns.codes_NCR.take_along_dim(order_NC1.argsort(dim=1), dim=1).mT


class Columns:
    """Columns of some matrices in the order of rounding, in steps. Those that are rounded hold their errors."""

    def __init__(self, x_NCR: Tensor, feedback_NCC: Tensor, rounder: Rounder) -> None:
        self.x_NCR, self.feedback_NCC, self.rounder = x_NCR, feedback_NCC, rounder
        self.codes_NCR = torch.empty_like(x_NCR)

    def round(self, start: int, stop: int) -> None:
        """Round some columns, half after half."""
        if stop - start == 1:
            x_NR = self.x_NCR[:, start]
            self.codes_NCR[:, start], points_NR = self.rounder(x_NR)
            x_NR -= points_NR
            return
        middle = (start + stop) // 2
        self.round(start, middle)
        self.adjust(start, middle, stop)
        self.round(middle, stop)

    def adjust(self, start: int, middle: int, stop: int) -> None:
        """Compensate the errors of the columns from `start` on in those from `middle` on."""
        after_NKC = self.feedback_NCC[:, start:middle, middle:stop]
        self.x_NCR[:, middle:stop].baddbmm_(after_NKC.mT, self.x_NCR[:, start:middle], alpha=-1)


def rounder_of(grids: Sequence[RowGrid], recipe: Gptq) -> Rounder:
    """Return how columns of matrices with some grids are rounded."""
    match recipe:
        case TrellisGptq():
            from trainer.quantizer.trellis_grid import trellis_rounder

            return trellis_rounder(grids)
    levels_N1 = torch.tensor([[float(grid.levels)] for grid in grids], device=grids[0].steps_R.device)

    def nearest(x_NR: Tensor) -> tuple[Tensor, Tensor]:
        codes_NR = x_NR.round().clamp_(-levels_N1, levels_N1)
        return codes_NR, codes_NR

    return nearest
