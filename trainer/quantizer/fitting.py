"""Codes set to zero until the artifact fits."""

from collections.abc import Callable
from dataclasses import replace

import torch

from trainer.quantizer.quantizer import QuantizedModel
from trainer.recipe.patterns import matches_any
from trainer.recipe.quantizer import Grid
from trainer.runtime.failure import TrainingFailed


def fit_to_bytes(
    model: QuantizedModel, recipe: Grid, size_of: Callable[[QuantizedModel], int], check: Callable[[], None]
) -> tuple[QuantizedModel, int]:
    """The model with as few codes set to zero as make it fit, to a thousandth, and how many those are.

    Codes of 1 and -1 go first where a step is smallest, since that loses least (#1535, #1579). Each probe packs the
    model anew; `check` is called between probes.
    Raises: TrainingFailed when all of them are not enough.
    """
    if size_of(model) <= recipe.fit_bytes:
        return model, 0
    units = UnitCodes(model, recipe.fitted)
    few, many = 0, len(units.order_N)
    if size_of(units.zeroed(many)) > recipe.fit_bytes:
        raise TrainingFailed(
            f"the artifact does not fit into fit_bytes {recipe.fit_bytes:,} even with all {many:,} codes of 1 and -1 "
            "at zero"
        )
    while many - few > max(1, many // 1000):
        check()
        middle = (few + many) // 2
        if size_of(units.zeroed(middle)) > recipe.fit_bytes:
            few = middle
        else:
            many = middle
    return units.zeroed(many), many


class UnitCodes:
    """All codes of 1 and -1 of some matrices: those of the smallest steps first, equal steps as they are stored."""

    def __init__(self, model: QuantizedModel, patterns: tuple[str, ...]) -> None:
        self.model = model
        self.matrices = {name: m for name, m in model.matrices.items() if matches_any(patterns, name)}
        steps = [m.steps_R[:, None].expand(m.codes_RC.shape)[m.codes_RC.abs() == 1] for m in self.matrices.values()]
        self.order_N = torch.cat(steps).argsort(stable=True) if steps else torch.empty(0, dtype=torch.int64)

    def zeroed(self, count: int) -> QuantizedModel:
        """The model with exactly the first so many of them at zero."""
        is_zeroed_N = torch.zeros(len(self.order_N), dtype=torch.bool)
        is_zeroed_N[self.order_N[:count]] = True
        matrices, start = dict(self.model.matrices), 0
        for name, matrix in self.matrices.items():
            codes_RC, is_unit_RC = matrix.codes_RC.clone(), matrix.codes_RC.abs() == 1
            units_N = codes_RC[is_unit_RC]
            codes_RC[is_unit_RC] = torch.where(is_zeroed_N[start : start + len(units_N)], 0, units_N)
            matrices[name] = replace(matrix, codes_RC=codes_RC)
            start += len(units_N)
        return QuantizedModel(matrices, self.model.floats)
