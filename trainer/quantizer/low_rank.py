"""Low-rank residuals of quantized matrices (LQER).

For the matrices with the largest quantization errors, the leading singular directions of the error are stored as two
thin matrices of few bits; loading adds their product.
Source: LQER, arXiv 2402.02446; openai/parameter-golf #1797.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from trainer.quantizer.grid import largest_code
from trainer.quantizer.matrix import QuantizedMatrix
from trainer.recipe.quantizer import LowRankResidual


def add_residuals(
    recipe: LowRankResidual, weights: Mapping[str, Tensor], matrices: Mapping[str, QuantizedMatrix]
) -> dict[str, QuantizedMatrix]:
    """Return the matrices, with residuals added to those with the largest errors."""
    errors = {name: weights[name].cpu().float() - matrix.dequantize() for name, matrix in matrices.items()}
    worst = sorted(errors, key=lambda name: float(errors[name].norm()), reverse=True)[: recipe.tensors]
    return {
        name: replace(matrix, residual=low_rank_factors(errors[name], recipe, matrix.codes_RC.dtype))
        if name in worst
        else matrix
        for name, matrix in matrices.items()
    }


def low_rank_factors(
    error_RC: Tensor, recipe: LowRankResidual, code_type: torch.dtype = torch.int8
) -> tuple[QuantizedMatrix, QuantizedMatrix]:
    """Return two thin matrices; the first transposed times the second approximates the error.

    Shapes: (R, C) -> (rank, R), (rank, C).
    """
    left_RN, values_N, right_NC = torch.linalg.svd(error_RC.double(), full_matrices=False)
    rank = min(recipe.rank, len(values_N))
    roots_P1 = values_N[:rank, None].sqrt()
    left, right = roots_P1 * left_RN.mT[:rank], roots_P1 * right_NC[:rank]
    return round_factor(left, recipe.bits, code_type), round_factor(right, recipe.bits, code_type)


def round_factor(factor_PN: Tensor, bits: int, code_type: torch.dtype) -> QuantizedMatrix:
    """Return a factor rounded to nearest, on a grid that ends at the largest value of each row."""
    levels = largest_code(bits)
    steps_P = (factor_PN.abs().amax(dim=1) / levels).half()
    divisors_P1 = torch.where(steps_P == 0, 1.0, steps_P.double())[:, None]
    codes_PN = (factor_PN / divisors_P1).round().clamp(-levels, levels).to(code_type)
    return QuantizedMatrix(codes_PN, steps_P)
