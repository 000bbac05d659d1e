"""The quantization grid of each row, shared by training, export and loading."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.quantizer.clip import row_clips
from trainer.quantizer.matrix import QuantizedMatrix
from trainer.recipe.patterns import value_for
from trainer.recipe.quantizer import Grid, TrellisGptq
from trainer.runtime.failure import TrainingFailed

# Largest code of a row whose step follows sensitivity instead of a clip: codes are int16.
LARGEST_CODE = 32_767


@dataclass(frozen=True, slots=True)
class RowGrid:
    """A grid for each row: the multiples -levels .. levels of its step."""

    steps_R: Tensor
    """float16, as stored, so that codes are computed on the grid that is written. 0 for a row of zeros."""
    levels: int

    @property
    def divisors_R1(self) -> Tensor:
        """Steps, with 1 for rows of zeros. Shapes: (R, 1), float32."""
        return torch.where(self.steps_R == 0, 1.0, self.steps_R.float())[:, None]

    def codes(self, w_RC: Tensor) -> Tensor:
        """Return the nearest codes, in the type of the weights. Shapes: (R, C) -> (R, C)."""
        return (w_RC / self.divisors_R1.to(w_RC.dtype)).round().clamp(-self.levels, self.levels)

    def quantized(self, codes_RC: Tensor) -> QuantizedMatrix:
        """Return codes of this grid as they are stored."""
        return QuantizedMatrix(codes_RC.to(torch.int8 if self.levels < 128 else torch.int16), self.steps_R)


# The grid of a matrix, by its name and weights.
GridOf = Callable[[str, Tensor], RowGrid]


def row_grid(recipe: Grid, name: str, w_RC: Tensor) -> RowGrid:
    """Return the grid of a matrix; each row depends on that row alone. Steps have no floor but `scale_floor`.

    Validity is not checked here: training calls this at every step, and a check would synchronize the device.
    """
    levels = largest_code(value_for(recipe.bits, name))
    floor = value_for(recipe.scale_floor, name) if recipe.scale_floor else 0.0
    steps_R = (row_clips(recipe.clip, name, w_RC.float(), levels) / levels).clamp_min(floor).half()
    match recipe:
        case TrellisGptq():
            from trainer.quantizer.trellis_grid import trellis_grid

            return trellis_grid(recipe, w_RC, steps_R)
    return RowGrid(steps_R, levels)


def checked_row_grid(recipe: Grid, name: str, w_RC: Tensor) -> RowGrid:
    """Return the same grid after checking it, for export.

    Raises:
        TrainingFailed: a row is not finite, or its step is too small or too large for float16.
    """
    if not torch.isfinite(w_RC).all():
        raise TrainingFailed(f"{name} holds values that are not finite; it cannot be quantized")
    grid = row_grid(recipe, name, w_RC)
    if not torch.isfinite(grid.steps_R).all():
        raise TrainingFailed(f"{name} has a row of {w_RC.size(1)} weights whose step is not a finite float16")
    if (w_RC[grid.steps_R == 0] != 0).any():
        raise TrainingFailed(f"{name} has a row whose step is zero though its weights are not")
    return grid


def largest_code(bits: int) -> int:
    """Return the largest code of a symmetric grid: 31 for 6 bits."""
    return (1 << (bits - 1)) - 1
