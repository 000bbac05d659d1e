"""Steps of columns: finer ones for inputs that the other inputs do not predict.

With the feedback of GPTQ, a rounding error in a column costs as much as the variance of its input that remains given
the inputs of the columns that are rounded later. So all columns together lose least, at a given rate, if each has a
step inverse to the root of that variance. A matrix is divided by these column steps before it is rounded, and
multiplied by them when it is read. They are powers of 2^(1/4), of which an artifact stores the exponents.
Source of the condition: reverse water-filling, Cover and Thomas, Elements of Information Theory, section 10.3.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from trainer.quantizer.feedback import Feedback, compensated_names
from trainer.quantizer.matrix import QuantizedMatrix
from trainer.quantizer.quantizer import Calibration
from trainer.recipe.inventory import Inventory
from trainer.recipe.quantizer import FisherSteps, Gptq, Grid

COLUMNS_AN_OCTAVE = 4
# No column has a step more than 16 octaves from the mean of its matrix.
MOST_OCTAVES = 16
# The step of a row of exponents: negative, which tells coders of trellises that its codes follow none.
NO_CLASSES = -1.0


def column_exponents(feedback: Feedback, strength: float) -> Tensor:
    """Return the exponents of the column steps of a matrix; a strength of 0 gives none. Shapes: (C,), int16."""
    octaves_C = strength * feedback.factor_CC.diagonal().log2()
    octaves_C = (octaves_C - octaves_C.mean()).clamp(-MOST_OCTAVES, MOST_OCTAVES)
    return (octaves_C * COLUMNS_AN_OCTAVE).round().to(torch.int16)[feedback.order_C.argsort()]


def column_steps(exponents_C: Tensor) -> Tensor:
    """Return column steps from their exponents, the same on every machine. Shapes: (C,) -> (C,), float32."""
    steps = [2.0 ** (exponent / COLUMNS_AN_OCTAVE) for exponent in exponents_C.tolist()]
    return torch.tensor(steps, dtype=torch.float32, device=exponents_C.device)


def in_column_steps(feedbacks: Mapping[str, Feedback], columns: Mapping[str, Tensor]) -> dict[str, Feedback]:
    """Return the feedbacks between columns that are counted in their steps."""
    found = dict(feedbacks)
    for name in feedbacks.keys() & columns.keys():
        step_C = column_steps(columns[name])[feedbacks[name].order_C]
        found[name] = replace(feedbacks[name], factor_CC=feedbacks[name].factor_CC / step_C)
    return found


def measured_columns(measured: Calibration, strength: float) -> Calibration:
    """Return a calibration with column steps for all matrices that GPTQ rounds, if they are wanted."""
    if not strength:
        return measured
    columns = {name: column_exponents(feedback, strength) for name, feedback in measured.feedbacks.items()}
    return replace(measured, feedbacks=in_column_steps(measured.feedbacks, columns), columns=columns)


def divided_by_columns(weights: Mapping[str, Tensor], columns: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights in steps of their columns, where they have some."""
    return {name: w_RC / column_steps(columns[name]) if name in columns else w_RC for name, w_RC in weights.items()}


def in_natural_order(feedback: Feedback, exponents_C: Tensor | None) -> Tensor:
    """Return the matrix F for which rounding errors Z leave the weights wrong by -Z F. Shapes: (C,) -> (C, C).

    The errors are counted in steps of their columns, if these have some.
    """
    back_C = feedback.order_C.argsort()
    matrix_CC = feedback.unit_CC[back_C][:, back_C]
    return matrix_CC if exponents_C is None else matrix_CC * column_steps(exponents_C)


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnMatrix(QuantizedMatrix):
    """A matrix in steps of its columns; it has the codes, steps and residual of the one inside."""

    inside: QuantizedMatrix
    exponents: QuantizedMatrix
    """Exponents of the column steps, as a matrix of one row."""

    def dequantize(self) -> Tensor:
        """Return the matrix in float32. Shapes: (R, C)."""
        return self.inside.dequantize() * column_steps(self.exponents.codes_RC[0])

    def parts(self) -> tuple[QuantizedMatrix, ...]:
        """Return the matrices that are stored for it."""
        return (*self.inside.parts(), self.exponents)


def with_exponents(inside: QuantizedMatrix, exponents: QuantizedMatrix | None) -> QuantizedMatrix:
    """Return a matrix in column steps; itself if it has none.

    Raises:
        ValueError: the exponents are none that `with_columns` writes.
    """
    if exponents is None:
        return inside
    if exponents.codes_RC.abs().max() > COLUMNS_AN_OCTAVE * MOST_OCTAVES or exponents.steps_R.tolist() != [NO_CLASSES]:
        raise ValueError(f"column steps are not within {MOST_OCTAVES} octaves of each other's mean")
    return ColumnMatrix(inside.codes_RC, inside.steps_R, inside.residual, inside=inside, exponents=exponents)


def with_columns(matrices: Mapping[str, QuantizedMatrix], columns: Mapping[str, Tensor]) -> dict[str, QuantizedMatrix]:
    """Return the matrices of a model, those with exponents in column steps."""
    row_step = torch.tensor([NO_CLASSES]).half()
    rows = {name: QuantizedMatrix(each[None].cpu(), row_step) for name, each in columns.items()}
    return {name: with_exponents(each, rows.get(name)) for name, each in matrices.items()}


def names_with_columns(recipe: Grid, tensors: Inventory) -> list[str]:
    """Return the names of the matrices whose columns have steps."""
    has_columns = isinstance(recipe, Gptq) and isinstance(recipe.steps, FisherSteps) and recipe.steps.column > 0
    return compensated_names(recipe, tensors) if has_columns and isinstance(recipe, Gptq) else []
