"""GPTQ: rounding that compensates its own errors (feedback.py says how).

Unlike in published scripts, the step of each row is fixed, and rounded to float16, before the first column is rounded.
So weights can be counted in steps, where the steps drop out of the feedback.

Matrices of one shape are rounded together, because a single column is too little work. The columns after a part of the
matrix are adjusted once for all of its columns, and within the part likewise, part of a part by part of a part: nearly
all arithmetic is in products of matrices.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from trainer.quantizer.feedback import Feedback, stacks_by_shape
from trainer.quantizer.grid import GridOf, RowGrid
from trainer.quantizer.matrix import QuantizedMatrix
from trainer.quantizer.rtn import RoundToNearest
from trainer.recipe.quantizer import Gptq, TrellisGptq


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
        for names in stacks_by_shape({name: w_RC for name, w_RC in matrices.items() if name in self.feedbacks}):
            grids = [self.nearest.grid_of(name, matrices[name]) for name in names]
            w_NRC = torch.stack([matrices[name] for name in names])
            codes_NRC = compensate_codes(w_NRC, [self.feedbacks[name] for name in names], grids, self.recipe)
            for name, codes_RC, grid in zip(names, codes_NRC, grids, strict=True):
                found[name] = grid.quantized(codes_RC)
        return {name: found[name] for name in matrices}


def compensate_codes(w_NRC: Tensor, feedbacks: Sequence[Feedback], grids: Sequence[RowGrid], recipe: Gptq) -> Tensor:
    """Return the codes of some matrices of one shape. Shapes: (N, R, C) -> (N, R, C), float32.

    Works on the transpose, in which a column is contiguous in memory.
    """
    order_NC1 = torch.stack([feedback.order_C for feedback in feedbacks])[:, :, None]
    x_NRC = w_NRC.float() / torch.stack([grid.divisors_R1 for grid in grids])
    columns = Columns(
        x_NRC.mT.take_along_dim(order_NC1, dim=1).contiguous(),
        torch.stack([feedback.unit_CC for feedback in feedbacks]),
        grids,
        recipe,
    )
    count = order_NC1.size(1)
    for start in range(0, count, recipe.block):
        stop = min(start + recipe.block, count)
        columns.round(start, stop)
        columns.adjust(start, stop, count)
    return columns.codes_NCR.take_along_dim(order_NC1.argsort(dim=1), dim=1).mT


class Columns:
    """Columns of some matrices in the order of rounding, in steps. Those that are rounded hold their errors."""

    def __init__(self, x_NCR: Tensor, feedback_NCC: Tensor, grids: Sequence[RowGrid], recipe: Gptq) -> None:
        self.x_NCR, self.feedback_NCC, self.recipe = x_NCR, feedback_NCC, recipe
        self.codes_NCR, self.levels_N1 = torch.empty_like(x_NCR), x_NCR.new_tensor([[grid.levels] for grid in grids])
        match recipe:
            case TrellisGptq():
                from trainer.quantizer.trellis_grid import trellis_search

                self.search = trellis_search(grids)

    def round(self, start: int, stop: int) -> None:
        """Round some columns, half after half."""
        if stop - start == 1:
            x_NR = self.x_NCR[:, start]
            codes_NR = points_NR = x_NR.round().clamp_(-self.levels_N1, self.levels_N1)
            match self.recipe:
                case TrellisGptq():
                    codes_NR, points_NR = (each[..., 0] for each in self.search.codes(x_NR[..., None]))
            self.codes_NCR[:, start] = codes_NR
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
