"""Round to nearest."""

import torch
from torch import Tensor

from trainer.quantizer.grid import checked_row_grid
from trainer.quantizer.matrix import QuantizedMatrix
from trainer.recipe.quantizer import Grid


class RoundToNearest:
    """Each weight goes to the nearest point of its row's grid, whatever the others do."""

    def __init__(self, recipe: Grid) -> None:
        self.recipe = recipe

    def quantize(self, name: str, w_RC: Tensor) -> QuantizedMatrix:
        """Codes and steps of a matrix.

        Raises: TrainingFailed when a row cannot be put on a grid.
        """
        grid = checked_row_grid(self.recipe, name, w_RC)
        return QuantizedMatrix(grid.codes(w_RC.float()).to(torch.int8), grid.steps_R)
