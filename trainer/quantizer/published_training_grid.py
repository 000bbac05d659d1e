"""A training grid that differs from the export grid, as in published scripts."""

from torch import Tensor

from trainer.quantizer.clip import row_percentiles
from trainer.quantizer.grid import RowGrid, largest_code
from trainer.recipe.patterns import value_for
from trainer.recipe.quantizer import PublishedTrainingGrid


def published_training_grid(recipe: PublishedTrainingGrid, name: str, w_RC: Tensor) -> RowGrid:
    """Return a grid that ends at a percentile of each row, whatever grid is exported (#576, #1579)."""
    levels = largest_code(value_for(recipe.bits, name))
    steps_R = (row_percentiles(w_RC.abs(), recipe.percentile) / levels).clamp_min(recipe.scale_floor)
    return RowGrid(steps_R, levels)
