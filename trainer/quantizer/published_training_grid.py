"""A grid for training that is not the one of the export, as in the published scripts."""

from torch import Tensor

from trainer.quantizer.clip import row_percentiles
from trainer.quantizer.grid import RowGrid, largest_code
from trainer.recipe.patterns import value_for
from trainer.recipe.quantizer import PublishedTrainingGrid


def published_training_grid(recipe: PublishedTrainingGrid, name: str, w_RC: Tensor) -> RowGrid:
    """A grid by row percentile, whatever the export does (#576, #1579)."""
    levels = largest_code(value_for(recipe.bits, name))
    steps_R = (row_percentiles(w_RC.abs(), recipe.percentile) / levels).clamp_min(recipe.scale_floor)
    return RowGrid(steps_R, levels)
