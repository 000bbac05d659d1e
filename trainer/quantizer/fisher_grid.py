"""The grids of all rows when their steps follow sensitivity."""

from collections.abc import Mapping

import torch
from torch import Tensor

from trainer.quantizer.allocation import TINY, RowCosts, allocate_steps
from trainer.quantizer.grid import LARGEST_CODE, RowGrid, check_finite, checked_row_grid, trellis_rows
from trainer.quantizer.quantizer import RowSensitivity
from trainer.recipe.quantizer import FisherSteps, Grid


class FisherGrids:
    """Grids by matrix, called as `checked_row_grid` is."""

    def __init__(
        self, recipe: Grid, steps: FisherSteps, matrices: Mapping[str, Tensor],
        sensitivities: Mapping[str, RowSensitivity],
    ) -> None:  # fmt: skip
        """Allocate the steps of all matrices together.

        Raises:
            TrainingFailed: a matrix is not finite, or its clips give no grid.
        """
        self.rows = {name: row_costs(recipe, name, w_RC, sensitivities[name]) for name, w_RC in matrices.items()}
        self.steps = allocate_steps(steps, self.rows)
        self.recipe = recipe

    def __call__(self, name: str, w_RC: Tensor) -> RowGrid:
        """Return the grid of a matrix; a row of zeros has the step 0."""
        check_finite(name, w_RC)
        steps_R = self.steps[name].to(w_RC.device)
        steps_R = torch.where((w_RC == 0).all(dim=1), torch.zeros_like(steps_R), steps_R)
        weight_R = self.rows[name].cost_R.to(w_RC.device) * steps_R.double() ** 2
        weight_R = weight_R / weight_R.mean().clamp_min(TINY)
        return RowGrid(steps_R, LARGEST_CODE, trellis_rows(self.recipe, w_RC, steps_R, weight_R))


def row_costs(recipe: Grid, name: str, w_RC: Tensor, sensitivity: RowSensitivity) -> RowCosts:
    """Return what the allocation needs to know of a matrix."""
    return RowCosts(
        deviation_R=w_RC.double().std(dim=1).cpu(),
        cost_R=sensitivity.costs_R,
        clip_steps_R=checked_row_grid(recipe, name, w_RC).steps_R.double().cpu(),
        columns=w_RC.size(1),
        spread=sensitivity.spread,
    )
