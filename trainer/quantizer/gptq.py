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
from trainer.runtime.failure import TrainingFailed


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
    """The codes of a matrix, in float64. Shapes: (R, C), (C, C) -> (R, C).

    Works on the transpose, in which a column is one piece of memory.
    """
    order_C = column_order(hessian_CC.diagonal(), recipe.order)
    w_CR = w_RC.double().mT[order_C].contiguous()
    spread_CC = spreading(damped(hessian_CC.double(), recipe.damping)[order_C][:, order_C], recipe)
    codes_CR = torch.empty_like(w_CR)
    for start in range(0, len(w_CR), recipe.block):
        block = slice(start, min(start + recipe.block, len(w_CR)))
        codes_CR[block], errors_BR = round_block(w_CR[block], spread_CC[block, block], grid)
        w_CR[block.stop :].addmm_(spread_CC[block, block.stop :].mT, errors_BR, alpha=-1)
    return codes_CR[order_C.argsort()].mT


def round_block(w_BR: Tensor, spread_BB: Tensor, grid: RowGrid) -> tuple[Tensor, Tensor]:
    """Codes of some columns, and the error of each that the columns after the block have yet to make up for."""
    steps_R = grid.divisors_R1.double().squeeze(1)
    codes_BR, errors_BR = torch.empty_like(w_BR), torch.empty_like(w_BR)
    for column in range(len(w_BR)):
        codes_R = (w_BR[column] / steps_R).round_().clamp_(-grid.levels, grid.levels)
        codes_BR[column] = codes_R
        errors_BR[column] = (w_BR[column] - codes_R * steps_R) / spread_BB[column, column]
        w_BR[column + 1 :].addr_(spread_BB[column, column + 1 :], errors_BR[column], alpha=-1)
    return codes_BR, errors_BR


def spreading(hessian_CC: Tensor, recipe: Gptq) -> Tensor:
    """Row j: how the error of column j, divided by its diagonal, moves the columns after it.

    With the order of columns reversed, H = R R^T for an upper triangular R, and so H^-1 = U^T U with U = R^-1.
    Raises: TrainingFailed when the Hessian is not positive definite.
    """
    root_CC, trouble = torch.linalg.cholesky_ex(hessian_CC.flip(0, 1))
    if trouble:
        raise TrainingFailed(
            "the second moments of a matrix's inputs are not positive definite; raise quantizer.damping"
        )
    identity_CC = torch.eye(len(hessian_CC), dtype=hessian_CC.dtype, device=hessian_CC.device)
    factor_CC: Tensor = torch.linalg.solve_triangular(root_CC.flip(0, 1), identity_CC, upper=True)
    if recipe.published_inverse:
        from trainer.quantizer.published_inverse import published_inverse

        return published_inverse(factor_CC)
    return factor_CC


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
