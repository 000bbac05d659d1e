"""Rounding to nearest (RTN)."""

from functools import partial

from torch import Tensor

from trainer.quantizer.grid import GridOf, checked_row_grid
from trainer.quantizer.matrix import QuantizedMatrix
from trainer.recipe.quantizer import Grid


class RoundToNearest:
    """Rounds each weight to the nearest point of the grid of its row."""

    def __init__(self, recipe: Grid, grid_of: GridOf | None = None) -> None:
        self.grid_of = grid_of or partial(checked_row_grid, recipe)

    def quantize(self, name: str, w_RC: Tensor) -> QuantizedMatrix:
        """Return codes and steps of a matrix.

        Raises:
            TrainingFailed: a row has no grid.
        """
        grid = self.grid_of(name, w_RC)
        return grid.quantized(grid.codes(w_RC.float()))
