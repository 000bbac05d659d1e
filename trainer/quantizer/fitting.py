"""Fitting an artifact into a byte limit by setting codes to zero."""

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
    """Return the model with just enough codes set to zero to fit, and their number.

    Codes of 1 and -1 are zeroed in order of their step, smallest first, because that loses least (#1535, #1579). The
    number is found by bisection, to a thousandth; each probe packs the model, and `check` is called before it.

    Raises:
        TrainingFailed: it does not fit even with all of them at zero.
    """
    if size_of(model) <= recipe.fit_bytes:
        return model, 0
    units = UnitCodes(model, recipe.fitted)
    few, many = 0, len(units.order_N)
    if size_of(units.zeroed(many)) > recipe.fit_bytes:
        raise TrainingFailed(
            f"the artifact does not fit into fit_bytes {recipe.fit_bytes:,} even with all {many:,} codes of 1 and -1 "
            "set to zero"
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
    """All codes of 1 and -1 in the matrices that match some patterns, ordered by step and then by position."""

    def __init__(self, model: QuantizedModel, patterns: tuple[str, ...]) -> None:
        self.model = model
        self.matrices = {name: m for name, m in model.matrices.items() if matches_any(patterns, name)}
        steps = [m.steps_R[:, None].expand(m.codes_RC.shape)[m.codes_RC.abs() == 1] for m in self.matrices.values()]
        self.order_N = torch.cat(steps).argsort(stable=True) if steps else torch.empty(0, dtype=torch.int64)

    def zeroed(self, count: int) -> QuantizedModel:
        """Return the model with the first `count` of these codes set to zero."""
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
