"""Codes set to zero until the artifact fits."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from trainer.quantizer.matrix import QuantizedMatrix
from trainer.quantizer.quantizer import QuantizedModel
from trainer.runtime.failure import TrainingFailed


def fit_to_bytes(
    model: QuantizedModel, limit_bytes: int, size_of: Callable[[QuantizedModel], int], check: Callable[[], None]
) -> tuple[QuantizedModel, int]:
    """The model with as few codes set to zero as make it fit, and how many those are.

    Codes of 1 and -1 go first where a step is smallest, since that loses least (#1535, #1579). Each probe packs the
    model anew; `check` is called between probes.
    Raises: TrainingFailed when all of them are not enough.
    """
    if size_of(model) <= limit_bytes:
        return model, 0
    costs_N = cheapest_first(model)
    few, many = 0, len(costs_N)
    if size_of(zeroed(model, costs_N, many)) > limit_bytes:
        raise TrainingFailed(
            f"the artifact does not fit into fit_bytes {limit_bytes:,} even with all {many:,} codes of 1 and -1 at zero"
        )
    while many - few > max(1, many // 1000):
        check()
        middle = (few + many) // 2
        if size_of(zeroed(model, costs_N, middle)) > limit_bytes:
            few = middle
        else:
            many = middle
    return zeroed(model, costs_N, many), many


def cheapest_first(model: QuantizedModel) -> Tensor:
    """The steps of all codes of 1 and -1, ascending. Shapes: (N,), float16."""
    found = [unit_steps(matrix)[matrix.codes_RC.abs() == 1] for matrix in model.matrices.values()]
    return torch.cat(found).sort().values


def unit_steps(matrix: QuantizedMatrix) -> Tensor:
    """The step of each code. Shapes: (R, C)."""
    return matrix.steps_R[:, None].expand(matrix.codes_RC.shape)


def zeroed(model: QuantizedModel, costs_N: Tensor, count: int) -> QuantizedModel:
    """The model with about `count` of its codes of 1 and -1 at zero: those whose step is at most the count-th."""
    if not count:
        return model
    threshold = costs_N[count - 1]
    matrices = {}
    for name, matrix in model.matrices.items():
        is_cheap_RC = (matrix.codes_RC.abs() == 1) & (unit_steps(matrix) <= threshold)
        matrices[name] = replace(matrix, codes_RC=torch.where(is_cheap_RC, 0, matrix.codes_RC))
    return QuantizedModel(matrices, model.floats)
