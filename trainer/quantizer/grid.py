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
class TrellisRows:
    """What a trellis needs to know of the rows of a matrix. Both are (R,)."""

    states: int
    weight_R: Tensor
    """What a squared error of one step costs; float32."""
    is_plain_R: Tensor
    """Rows that are rounded to multiples of their step all the same."""


@dataclass(frozen=True, slots=True)
class RowGrid:
    """A grid for each row: the multiples -levels .. levels of its step, or the points of a trellis."""

    steps_R: Tensor
    """float16, as stored, so that codes are computed on the grid that is written. 0 for a row of zeros."""
    levels: int
    trellis: TrellisRows | None = None

    @property
    def code_type(self) -> torch.dtype:
        """Integer type that holds all codes."""
        return torch.int8 if self.levels < 128 and self.trellis is None else torch.int16

    @property
    def divisors_R1(self) -> Tensor:
        """Steps, with 1 for rows of zeros. Shapes: (R, 1), float32."""
        return torch.where(self.steps_R == 0, 1.0, self.steps_R.float())[:, None]

    def codes(self, w_RC: Tensor) -> Tensor:
        """Return the nearest codes, in the type of the weights. Shapes: (R, C) -> (R, C)."""
        x_RC = w_RC / self.divisors_R1.to(w_RC.dtype)
        if self.trellis is None:
            return x_RC.round().clamp(-self.levels, self.levels)
        from trainer.quantizer.trellis import trellis_codes

        rows = self.trellis
        return trellis_codes(x_RC, rows.weight_R.to(w_RC.dtype), rows.is_plain_R, rows.states)[0]

    def quantized(self, codes_RC: Tensor) -> QuantizedMatrix:
        """Return codes of this grid as they are stored."""
        codes_RC = codes_RC.to(self.code_type)
        if self.trellis is None:
            return QuantizedMatrix(codes_RC, self.steps_R)
        steps_R = torch.where(self.trellis.is_plain_R, -self.steps_R, self.steps_R)
        return QuantizedMatrix(codes_RC, steps_R, self.trellis.states)


# The grid of a matrix, by its name and weights.
GridOf = Callable[[str, Tensor], RowGrid]


def row_grid(recipe: Grid, name: str, w_RC: Tensor) -> RowGrid:
    """Return the grid of a matrix; each row depends on that row alone. Steps have no floor but `scale_floor`.

    Validity is not checked here: training calls this at every step, and a check would synchronize the device.
    """
    levels = largest_code(value_for(recipe.bits, name))
    floor = value_for(recipe.scale_floor, name) if recipe.scale_floor else 0.0
    steps_R = (row_clips(recipe.clip, name, w_RC.float(), levels) / levels).clamp_min(floor).half()
    return RowGrid(steps_R, levels, trellis_rows(recipe, w_RC, steps_R))


def trellis_rows(recipe: Grid, w_RC: Tensor, steps_R: Tensor, weight_R: Tensor | None = None) -> TrellisRows | None:
    """Return what a trellis needs to know of a matrix; None if the recipe has none.

    Unless weights are given, errors of all rows cost the same in the units of the matrix.
    """
    if not isinstance(recipe, TrellisGptq):
        return None
    from trainer.quantizer.trellis import is_plain_row

    weight_R = steps_R.float() ** 2 if weight_R is None else weight_R.float()
    return TrellisRows(recipe.states, weight_R, is_plain_row(w_RC, steps_R))


def states_of(recipe: Grid) -> int:
    """Return the states of the trellis that codes follow; 0 for none."""
    return recipe.states if isinstance(recipe, TrellisGptq) else 0


def checked_row_grid(recipe: Grid, name: str, w_RC: Tensor) -> RowGrid:
    """Return the same grid after checking it, for export.

    Raises:
        TrainingFailed: a row is not finite, or its step is too small or too large for float16.
    """
    check_finite(name, w_RC)
    grid = row_grid(recipe, name, w_RC)
    if not torch.isfinite(grid.steps_R).all():
        raise TrainingFailed(f"{name} has a row of {w_RC.size(1)} weights whose step is not a finite float16")
    if (w_RC[grid.steps_R == 0] != 0).any():
        raise TrainingFailed(f"{name} has a row whose step is zero though its weights are not")
    return grid


def check_finite(name: str, w_RC: Tensor) -> None:
    """Check that a matrix can be quantized.

    Raises:
        TrainingFailed: a weight is not finite.
    """
    if not torch.isfinite(w_RC).all():
        raise TrainingFailed(f"{name} holds values that are not finite; it cannot be quantized")


def largest_code(bits: int) -> int:
    """Return the largest code of a symmetric grid: 31 for 6 bits."""
    return (1 << (bits - 1)) - 1
