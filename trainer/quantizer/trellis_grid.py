"""The grids of a matrix whose codes follow a trellis, and such a matrix."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.quantizer.gptq import ColumnRounder
from trainer.quantizer.grid import LARGEST_CODE, RowGrid
from trainer.quantizer.matrix import QuantizedMatrix
from trainer.quantizer.trellis import PathSearch, classes_of, is_plain_row, trellis_codes
from trainer.recipe.quantizer import TrellisGptq
from trainer.runtime.failure import TrainingFailed


@dataclass(frozen=True, slots=True)
class TrellisMatrix(QuantizedMatrix):
    """A matrix whose codes follow a trellis, but for the rows with negative steps."""

    states: int = 0

    def points(self) -> Tensor:
        """Return the matrix without its residual. Shapes: (R, C), float32."""
        classes_RC = classes_of(self.codes_RC, ~(self.steps_R > 0), self.states)
        return (self.codes_RC.float() + 0.5 * classes_RC.float()) * self.steps_R.float().abs()[:, None]


@dataclass(frozen=True, slots=True)
class TrellisGrid(RowGrid):
    """The points of a trellis, in rows that are not plain."""

    states: int
    weight_R: Tensor
    """What a squared error of one step costs in each row; float32."""
    is_plain_R: Tensor

    def codes(self, w_RC: Tensor) -> Tensor:
        """Return the codes of the best path down each column, in the type of the weights. Shapes: (R, C) -> (R, C)."""
        x_RC = w_RC / self.divisors_R1.to(w_RC.dtype)
        return trellis_codes(x_RC, self.weight_R, self.is_plain_R, self.states)[0]

    def quantized(self, codes_RC: Tensor) -> QuantizedMatrix:
        """Return codes of this grid as they are stored.

        Raises:
            TrainingFailed: a code is beyond int16, and no smaller one may take its place.
        """
        if (codes_RC.abs() > self.levels).any():
            raise TrainingFailed(f"a code of a trellis is beyond {self.levels:,}; use wider clips or fewer bits")
        steps_R = torch.where(self.is_plain_R, -self.steps_R, self.steps_R)
        return TrellisMatrix(codes_RC.to(torch.int16), steps_R, states=self.states)


def trellis_grid(recipe: TrellisGptq, w_RC: Tensor, steps_R: Tensor, weight_R: Tensor | None = None) -> TrellisGrid:
    """Return the grid of a matrix. Unless weights are given, errors of all rows cost the same."""
    weight_R = steps_R.float() ** 2 if weight_R is None else weight_R.float()
    return TrellisGrid(steps_R, LARGEST_CODE, recipe.states, weight_R, is_plain_row(w_RC, steps_R))


def trellis_rounder(grids: Sequence[RowGrid]) -> ColumnRounder:
    """Return how columns of some matrices of one shape are rounded: on the best paths."""
    trellises = [grid for grid in grids if isinstance(grid, TrellisGrid)]
    weight_NR = torch.stack([grid.weight_R for grid in trellises])
    search = PathSearch(weight_NR, torch.stack([grid.is_plain_R for grid in trellises]), 1, trellises[0].states)

    def best_path(x_NR: Tensor) -> tuple[Tensor, Tensor]:
        codes_NR1, points_NR1 = search.codes(x_NR[..., None])
        return codes_NR1[..., 0], points_NR1[..., 0]

    return best_path
