"""Rounding to nearest (RTN)."""

import torch
from torch import Tensor

from trainer.quantizer.grid import checked_row_grid
from trainer.quantizer.matrix import QuantizedMatrix
from trainer.recipe.quantizer import Grid


class RoundToNearest:
    """Rounds each weight to the nearest point of the grid of its row."""

    def __init__(self, recipe: Grid) -> None:
        self.recipe = recipe

    def quantize(self, name: str, w_RC: Tensor) -> QuantizedMatrix:
        """Return codes and steps of a matrix.

        Raises:
            TrainingFailed: a row has no grid.
        """
        grid = checked_row_grid(self.recipe, name, w_RC)
        return QuantizedMatrix(grid.codes(w_RC.float()).to(torch.int8), grid.steps_R)
