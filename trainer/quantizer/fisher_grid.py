"""The grids of all rows when their steps follow sensitivity."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from trainer.quantizer.allocation import TINY, RateTable, RowCosts, allocate_steps, column_profile
from trainer.quantizer.column_steps import divided_by_columns
from trainer.quantizer.feedback import Feedback
from trainer.quantizer.grid import LARGEST_CODE, RowGrid, checked_row_grid
from trainer.quantizer.quantizer import Calibration
from trainer.recipe.quantizer import FisherSteps, Grid, TrellisGptq
from trainer.runtime.failure import TrainingFailed


class FisherGrids:
    """Grids by matrix, called as `checked_row_grid` is."""

    def __init__(self, recipe: Grid, steps: FisherSteps, matrices: Mapping[str, Tensor], measured: Calibration) -> None:
        """Allocate the steps of all matrices together. `matrices` are not yet divided by the steps of their columns.

        Raises:
            TrainingFailed: a matrix is not finite, or its clips give no grid.
        """
        in_columns = divided_by_columns(matrices, measured.columns)
        self.rows = {
            name: RowCosts(
                deviation_R=deviations(in_columns[name]),
                cost_R=finite_costs(name, measured.costs[name]),
                clip_bits_R=clip_bits(recipe, name, w_RC),
                columns=w_RC.size(1),
                table=RateTable(spread_of(measured.feedbacks.get(name)), column_profile(in_columns[name])),
            )
            for name, w_RC in matrices.items()
        }
        self.steps = allocate_steps(steps, self.rows)
        self.recipe = recipe

    def __call__(self, name: str, w_RC: Tensor) -> RowGrid:
        """Return the grid of a matrix; a row of zeros has the step 0."""
        steps_R = self.steps[name].to(w_RC.device)
        steps_R = torch.where((w_RC == 0).all(dim=1), torch.zeros_like(steps_R), steps_R)
        match self.recipe:
            case TrellisGptq():
                from trainer.quantizer.trellis_grid import trellis_grid

                weight_R = self.rows[name].cost_R.to(w_RC.device) * steps_R.double() ** 2
                return trellis_grid(self.recipe, w_RC, steps_R, weight_R / weight_R.mean().clamp_min(TINY))
        return RowGrid(steps_R, LARGEST_CODE)

    def summary(self) -> list[dict[str, Any]]:
        """Return the geometric mean of each tensor's steps, its bits a weight, and its loss in nats a token."""
        found = []
        for name, rows in self.rows.items():
            steps_R = self.steps[name].double()
            facts = {"step": float(steps_R.log().mean().exp()), "bits": float(rows.bits(steps_R).mean())}
            weights = rows.columns * len(steps_R)
            found.append({"name": name, "weights": weights, **facts, "nats": float(rows.nats(steps_R).sum())})
        return found


def deviations(w_RC: Tensor) -> Tensor:
    """Return the root mean square of each row. Shapes: (R, C) -> (R,), float64."""
    return w_RC.double().square().mean(dim=1).sqrt().cpu()


def clip_bits(recipe: Grid, name: str, w_RC: Tensor) -> Tensor:
    """Return the bits a weight that the clip of each row gives. Shapes: (R, C) -> (R,), float64."""
    deviation_R, steps_R = deviations(w_RC), checked_row_grid(recipe, name, w_RC).steps_R.double().cpu()
    nothing_R = torch.zeros_like(deviation_R)
    rows = RowCosts(deviation_R, nothing_R, nothing_R, w_RC.size(1), RateTable(0.0, column_profile(w_RC)))
    return rows.bits(steps_R)


def spread_of(feedback: Feedback | None) -> float:
    """Return the mean variance that the errors of other columns add to a column, for errors of variance 1."""
    if feedback is None:
        return 0.0
    return float(feedback.unit_CC.double().square().sum()) / len(feedback.order_C) - 1.0


def finite_costs(name: str, cost_R: Tensor) -> Tensor:
    """Return the costs of a matrix after checking them.

    Raises:
        TrainingFailed: one is not finite.
    """
    if not torch.isfinite(cost_R).all():
        raise TrainingFailed(f"the sensitivity of {name} is not finite; some gradient overflows on calibration text")
    return cost_R
