"""GPTQ: rounding that makes up for its own errors.

Rounding weights w to q changes what a layer puts out, on inputs x, by (w - q) x; the square of that, over calibration
text, is (w - q) H (w - q)^T with H = sum of x x^T. Columns are rounded one after the other; after each, the columns to
come are moved to where they undo most of the damage, which the inverse of H over those columns tells. The rows of the
upper Cholesky factor of H^-1 hold these inverses for every step at once.
Source: Frantar et al., arXiv 2210.17323. Unlike the scripts that served as examples, the step of each row is fixed, and
rounded to float16, before the first column is.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from trainer.quantizer.grid import RowGrid, row_grid
from trainer.quantizer.matrix import QuantizedMatrix
from trainer.quantizer.rtn import RoundToNearest
from trainer.recipe.quantizer import Gptq


class GptqQuantizer:
    """Rounds matrices whose inputs have been seen; all others go to the nearest point of the same grid."""

    def __init__(self, recipe: Gptq, hessians: Mapping[str, Tensor]) -> None:
        self.recipe = recipe
        self.hessians = hessians
        self.nearest = RoundToNearest(recipe)

    def quantize(self, name: str, w_RC: Tensor) -> QuantizedMatrix:
        """Codes and steps of a matrix.

        Raises: TrainingFailed when a row cannot be put on a grid.
        """
        if name not in self.hessians:
            return self.nearest.quantize(name, w_RC)
        grid = row_grid(self.recipe, name, w_RC)
        codes_RC = compensated_codes(w_RC, self.hessians[name].to(w_RC.device), grid, self.recipe)
        return QuantizedMatrix(codes_RC.to(torch.int8), grid.steps_R)


def compensated_codes(w_RC: Tensor, hessian_CC: Tensor, grid: RowGrid, recipe: Gptq) -> Tensor:
    """The codes of a matrix, in float64. Shapes: (R, C), (C, C) -> (R, C)."""
    order_C = column_order(hessian_CC.diagonal(), recipe.order)
    w_RC = w_RC.double()[:, order_C]
    spread_CC = spreading(damped(hessian_CC.double(), recipe.damping)[order_C][:, order_C], recipe)
    codes_RC = torch.empty_like(w_RC)
    steps_R1 = grid.divisors_R1.double()
    for start in range(0, w_RC.size(1), recipe.block):
        block = slice(start, min(start + recipe.block, w_RC.size(1)))
        codes_RC[:, block], errors_RB = round_block(w_RC[:, block], spread_CC[block, block], grid, steps_R1)
        w_RC[:, block.stop :] -= errors_RB @ spread_CC[block, block.stop :]
    return codes_RC[:, order_C.argsort()]


def round_block(w_RB: Tensor, spread_BB: Tensor, grid: RowGrid, steps_R1: Tensor) -> tuple[Tensor, Tensor]:
    """Codes of some columns, and the error of each that the columns after the block have yet to make up for."""
    codes_RB, errors_RB = torch.empty_like(w_RB), torch.empty_like(w_RB)
    for column in range(w_RB.size(1)):
        now = slice(column, column + 1)
        codes_RB[:, now] = grid.codes(w_RB[:, now])
        errors_RB[:, now] = (w_RB[:, now] - codes_RB[:, now] * steps_R1) / spread_BB[column, column]
        w_RB[:, column + 1 :] -= errors_RB[:, now] * spread_BB[now, column + 1 :]
    return codes_RB, errors_RB


def spreading(hessian_CC: Tensor, recipe: Gptq) -> Tensor:
    """Row j: how the error of column j, divided by its diagonal, moves the columns after it."""
    inverse_CC = torch.cholesky_inverse(torch.linalg.cholesky(hessian_CC))
    return inverse_CC if recipe.published_inverse else torch.linalg.cholesky(inverse_CC, upper=True)


def damped(hessian_CC: Tensor, damping: float) -> Tensor:
    """The Hessian with a share of its mean diagonal added, so that it can be inverted; the identity if it is zero."""
    mean = hessian_CC.diagonal().mean()
    if mean == 0:
        return torch.eye(len(hessian_CC), dtype=hessian_CC.dtype, device=hessian_CC.device)
    return hessian_CC + damping * mean * torch.eye(len(hessian_CC), dtype=hessian_CC.dtype, device=hessian_CC.device)


def column_order(energy_C: Tensor, order: str) -> Tensor:
    """In which order columns are rounded."""
    if order == "natural":
        return torch.arange(len(energy_C), device=energy_C.device)
    return energy_C.argsort(descending=order == "descending", stable=True)
