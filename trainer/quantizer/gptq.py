"""GPTQ: rounding that compensates its own errors (feedback.py says how).

Unlike in published scripts, the step of each row is fixed, and rounded to float16, before the first column is rounded.
So weights can be counted in steps, where the steps drop out of the feedback.

Matrices of one shape are rounded together, because a single column is too little work. The columns after a part of the
matrix are adjusted once for all of its columns, and within the part likewise, part of a part by part of a part: nearly
all arithmetic is in products of matrices.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from trainer.quantizer.feedback import Feedback, stacks_by_shape
from trainer.quantizer.grid import GridOf, RowGrid
from trainer.quantizer.matrix import QuantizedMatrix
from trainer.quantizer.rtn import RoundToNearest
from trainer.recipe.quantizer import Gptq, TrellisGptq

# How columns of some matrices are rounded: from values in steps to codes and points. Shapes: (N, R) each.
ColumnRounder = Callable[[Tensor], tuple[Tensor, Tensor]]


class GptqQuantizer:
    """Rounds matrices that have a feedback with GPTQ, and all others to the nearest point of the same grid."""

    def __init__(self, recipe: Gptq, feedbacks: Mapping[str, Feedback], grid_of: GridOf | None = None) -> None:
        self.recipe, self.feedbacks = recipe, feedbacks
        self.nearest = RoundToNearest(recipe, grid_of)

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
    feedback_NCC = torch.stack([feedback.unit_CC for feedback in feedbacks])
    x_NRC = w_NRC.float() / torch.stack([grid.divisors_R1 for grid in grids])
    # Columns in the order of rounding, in steps; once rounded, they hold their errors.
    x_NCR = x_NRC.mT.take_along_dim(order_NC1, dim=1).contiguous()
    codes_NCR, round_column = torch.empty_like(x_NCR), column_rounder(grids, recipe)

    def adjust(start: int, middle: int, stop: int) -> None:
        """Compensate the errors of the columns from `start` on in those from `middle` on."""
        onto_NKC = feedback_NCC.mT[:, middle:stop, start:middle]
        x_NCR[:, middle:stop].baddbmm_(onto_NKC, x_NCR[:, start:middle], alpha=-1)

    def round_columns(start: int, stop: int) -> None:
        """Round some columns, half after half."""
        middle = (start + stop) // 2
        if middle > start:
            round_columns(start, middle)
            adjust(start, middle, stop)
            round_columns(middle, stop)
        else:
            codes_NCR[:, start], points_NR = round_column(x_NCR[:, start])
            x_NCR[:, start] -= points_NR

    count = x_NCR.size(1)
    for start in range(0, count, recipe.block):
        stop = min(start + recipe.block, count)
        round_columns(start, stop)
        adjust(start, stop, count)
    return codes_NCR.take_along_dim(order_NC1.argsort(dim=1), dim=1).mT


def column_rounder(grids: Sequence[RowGrid], recipe: Gptq) -> ColumnRounder:
    """Return how columns of matrices with some grids are rounded."""
    match recipe:
        case TrellisGptq():
            from trainer.quantizer.trellis_grid import trellis_rounder

            return trellis_rounder(grids)
    levels_N1 = grids[0].steps_R.new_tensor([[grid.levels] for grid in grids], dtype=torch.float32)
    return lambda x_NR: (x_NR.round().clamp_(-levels_N1, levels_N1),) * 2
