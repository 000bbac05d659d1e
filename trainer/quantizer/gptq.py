"""GPTQ: rounding that compensates its own errors.

Rounding weights w to q changes the output of a layer on inputs x by (w - q) x; the square of that, summed over
calibration text, is (w - q) H (w - q)^T with H = sum of x x^T. Columns are rounded one after another; after each, the
remaining columns are adjusted to undo as much of the error as possible, which takes the inverse of H over those
columns. The rows of the upper Cholesky factor of H^-1 hold what is needed of these inverses for every step.
Source: Frantar et al., arXiv 2210.17323. Unlike in published scripts, the step of each row is fixed, and rounded to
float16, before the first column is rounded. Matrices of one shape are processed together, because a single column is
too little work.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from trainer.quantizer.grid import GridOf, RowGrid
from trainer.quantizer.matrix import QuantizedMatrix
from trainer.quantizer.rtn import RoundToNearest
from trainer.recipe.quantizer import Gptq, TrellisGptq
from trainer.runtime.failure import TrainingFailed

# Hessian values that are processed at a time: as many as fit into the caches of a CPU, or keep a GPU busy.
STACK_VALUES = {"cpu": 1 << 20, "cuda": 1 << 26}


class GptqQuantizer:
    """Rounds matrices that have a Hessian with GPTQ, and all others to the nearest point of the same grid."""

    def __init__(self, recipe: Gptq, hessians: Mapping[str, Tensor], grid_of: GridOf | None = None) -> None:
        self.recipe, self.hessians = recipe, hessians
        self.nearest = RoundToNearest(recipe, grid_of)

    def quantize(self, name: str, w_RC: Tensor) -> QuantizedMatrix:
        """Return codes and steps of a matrix. Raises what `quantize_all` raises."""
        return self.quantize_all({name: w_RC})[name]

    def quantize_all(self, matrices: Mapping[str, Tensor]) -> dict[str, QuantizedMatrix]:
        """Return codes and steps of each matrix.

        Raises:
            TrainingFailed: a row has no grid, or a Hessian is not positive definite.
        """
        found = {name: self.nearest.quantize(name, w) for name, w in matrices.items() if name not in self.hessians}
        for names in stack_by_shape({name: w for name, w in matrices.items() if name in self.hessians}):
            grids = [self.nearest.grid_of(name, matrices[name]) for name in names]
            w_NRC = torch.stack([matrices[name] for name in names])
            hessian_NCC = torch.stack([self.hessians[name].to(w_NRC.device) for name in names])
            codes_NRC = compensate_codes(names, w_NRC, hessian_NCC, grids, self.recipe)
            for name, codes_RC, grid in zip(names, codes_NRC, grids, strict=True):
                found[name] = grid.quantized(codes_RC)
        return {name: found[name] for name in matrices}


def stack_by_shape(matrices: Mapping[str, Tensor]) -> Iterator[list[str]]:
    """Yield names of matrices of equal shape, in stacks that suit the device."""
    by_shape: dict[torch.Size, list[str]] = defaultdict(list)
    for name, w_RC in matrices.items():
        by_shape[w_RC.shape].append(name)
    for shape, names in by_shape.items():
        most = max(1, STACK_VALUES[matrices[names[0]].device.type] // shape[-1] ** 2)
        for start in range(0, len(names), most):
            yield names[start : start + most]


def compensate_codes(
    names: Sequence[str], w_NRC: Tensor, hessian_NCC: Tensor, grids: Sequence[RowGrid], recipe: Gptq
) -> Tensor:
    """Return the codes of some matrices, in float64. Shapes: (N, R, C), (N, C, C) -> (N, R, C).

    Works on the transpose, in which a column is contiguous in memory.
    """
    order_NC, factor_NCC = ordered_factor(names, hessian_NCC, recipe)
    w_NCR = w_NRC.double().mT.take_along_dim(order_NC[:, :, None], dim=1).contiguous()
    codes_NCR = torch.empty_like(w_NCR)
    for start in range(0, w_NCR.size(1), recipe.block):
        block = slice(start, min(start + recipe.block, w_NCR.size(1)))
        codes_NCR[:, block], errors_NBR = round_block(w_NCR[:, block], factor_NCC[:, block, block], grids, recipe)
        w_NCR[:, block.stop :].baddbmm_(factor_NCC[:, block, block.stop :].mT, errors_NBR, alpha=-1)
    return codes_NCR.take_along_dim(order_NC.argsort()[:, :, None], dim=1).mT


def ordered_factor(names: Sequence[str], hessian_NCC: Tensor, recipe: Gptq) -> tuple[Tensor, Tensor]:
    """Return the order in which columns are rounded, and the factor of the inverse Hessian in that order.

    Shapes: (N, C, C) -> (N, C), (N, C, C), float64.
    """
    order_NC = column_order(hessian_NCC.diagonal(dim1=-2, dim2=-1), recipe.order)
    damped_NCC = damp(hessian_NCC.double(), recipe.damping)
    damped_NCC = damped_NCC.take_along_dim(order_NC[:, :, None], dim=1).take_along_dim(order_NC[:, None], dim=2)
    return order_NC, inverse_factor(names, damped_NCC, recipe)


def error_feedback(name: str, hessian_CC: Tensor, recipe: Gptq) -> Tensor:
    """Return the matrix F for which rounding errors Z leave the weights wrong by -Z F: the feedback of GPTQ.

    Shapes: (C, C) -> (C, C), float64, with a diagonal of 1.
    """
    order_NC, factor_NCC = ordered_factor([name], hessian_CC[None], recipe)
    back_C, factor_CC = order_NC[0].argsort(), factor_NCC[0]
    return (factor_CC / factor_CC.diagonal()[:, None])[back_C][:, back_C]


def round_block(w_NBR: Tensor, factor_NBB: Tensor, grids: Sequence[RowGrid], recipe: Gptq) -> tuple[Tensor, Tensor]:
    """Return the codes of some columns and their errors, which the columns after the block must compensate."""
    steps_NR = torch.stack([grid.divisors_R1.double().squeeze(1) for grid in grids])
    levels_N1 = steps_NR.new_tensor([[grid.levels] for grid in grids])
    codes_NBR, errors_NBR = torch.empty_like(w_NBR), torch.empty_like(w_NBR)
    for column in range(w_NBR.size(1)):
        codes_NR = points_NR = (w_NBR[:, column] / steps_NR).round().clamp_(-levels_N1, levels_N1)
        match recipe:
            case TrellisGptq():
                from trainer.quantizer.trellis_grid import round_on_trellis

                codes_NR, points_NR = round_on_trellis(w_NBR[:, column] / steps_NR, grids)
        codes_NBR[:, column] = codes_NR
        error_NR = (w_NBR[:, column] - points_NR * steps_NR) / factor_NBB[:, column, column, None]
        errors_NBR[:, column] = error_NR
        after_NB1 = factor_NBB[:, column, column + 1 :, None]
        w_NBR[:, column + 1 :].addcmul_(after_NB1, error_NR[:, None], value=-1)
    return codes_NBR, errors_NBR


def inverse_factor(names: Sequence[str], hessian_NCC: Tensor, recipe: Gptq) -> Tensor:
    """Return the upper Cholesky factor U of H^-1 = U^T U.

    Row j, divided by its diagonal, is how the error of column j adjusts the columns after it. With the order of columns
    reversed, H = R R^T for an upper triangular R, so U = R^-1.

    Raises:
        TrainingFailed: a Hessian is not finite, or not positive definite.
    """
    root_NCC, trouble_N = torch.linalg.cholesky_ex(hessian_NCC.flip(-2, -1))
    if trouble_N.any():
        number = int(trouble_N.nonzero()[0])
        is_finite = bool(hessian_NCC[number].isfinite().all())
        how = "positive definite; raise quantizer.damping" if is_finite else "finite; some activation overflows"
        raise TrainingFailed(f"the second moments of the inputs of {names[number]} are not {how}")
    identity_CC = torch.eye(hessian_NCC.size(-1), dtype=hessian_NCC.dtype, device=hessian_NCC.device)
    factor_NCC: Tensor = torch.linalg.solve_triangular(root_NCC.flip(-2, -1), identity_CC, upper=True)
    if recipe.published_inverse:
        from trainer.quantizer.published_inverse import published_inverse

        return published_inverse(factor_NCC)
    return factor_NCC


def damp(hessian_NCC: Tensor, damping: float) -> Tensor:
    """Return each Hessian with a share of its mean diagonal added, so that it is invertible; if zero, the identity."""
    mean_N11 = hessian_NCC.diagonal(dim1=-2, dim2=-1).mean(dim=-1)[..., None, None]
    identity_CC = torch.eye(hessian_NCC.size(-1), dtype=hessian_NCC.dtype, device=hessian_NCC.device)
    return hessian_NCC + torch.where(mean_N11 == 0, 1.0, damping * mean_N11) * identity_CC


def column_order(energy_NC: Tensor, order: str) -> Tensor:
    """Return the order in which columns are rounded. Shapes: (N, C) -> (N, C)."""
    if order == "natural":
        return torch.arange(energy_NC.size(-1), device=energy_NC.device).expand(energy_NC.shape)
    return energy_NC.argsort(dim=-1, descending=order == "descending", stable=True)
