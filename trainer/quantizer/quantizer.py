"""The quantizer slot: how float weights become integer codes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from trainer.quantizer.feedback import Feedback
from trainer.quantizer.grid import GridOf
from trainer.quantizer.low_rank import add_residuals
from trainer.quantizer.matrix import QuantizedMatrix
from trainer.quantizer.pruning import prune_smallest
from trainer.recipe.inventory import Inventory
from trainer.recipe.quantizer import (
    GATE_BITS,
    FisherSteps,
    Gptq,
    LocalQuantizer,
    LowRankResidual,
    QuantizerRecipe,
    Rtn,
    is_quantized,
)


class MatrixQuantizer(Protocol):
    """A quantizer that handles one matrix at a time."""

    def quantize(self, name: str, w_RC: Tensor) -> QuantizedMatrix: ...


# A quantizer as the export uses it: all matrices by name.
QuantizeAll = Callable[[Mapping[str, Tensor]], dict[str, QuantizedMatrix]]


FLOAT_TYPES = {"float16": torch.float16, "float32": torch.float32}


@dataclass(frozen=True, slots=True)
class Calibration:
    """What calibration measures, matrix by matrix; a quantizer that needs nothing gets nothing."""

    feedbacks: Mapping[str, Feedback]
    """How the errors of the matrices that GPTQ rounds are compensated, from the second moments of their inputs."""
    costs: Mapping[str, Tensor]
    """Nats a token that rounding each row in steps of 1 costs, (R,), float64, for steps that follow sensitivity."""
    columns: Mapping[str, Tensor]
    """Exponents of column steps, (C,). Feedbacks and costs count the columns in these steps."""


NOT_CALIBRATED = Calibration({}, {}, {})


@dataclass(frozen=True, slots=True)
class QuantizedModel:
    """The weights as an artifact stores them."""

    matrices: dict[str, QuantizedMatrix]
    floats: dict[str, Tensor]

    def dequantize(self) -> dict[str, Tensor]:
        """Return every tensor by name, in float32."""
        matrices = {name: matrix.dequantize() for name, matrix in self.matrices.items()}
        return matrices | {name: tensor.float() for name, tensor in self.floats.items()}


def make_quantizer(recipe: QuantizerRecipe, measured: Calibration, grid_of: GridOf | None = None) -> QuantizeAll:
    """Return the quantizer that a recipe names.

    `grid_of` gives the grids of a recipe whose steps do not follow from clips alone.
    """
    match recipe:
        case Rtn():
            from trainer.quantizer.rtn import RoundToNearest

            return partial(one_by_one, RoundToNearest(recipe, grid_of))
        case LocalQuantizer():
            from trainer.runtime.local_code import make_local

            made: MatrixQuantizer = make_local(recipe.file, recipe.class_name, recipe, **recipe.options)
            return partial(one_by_one, made)
        case Gptq():
            from trainer.quantizer.gptq import GptqQuantizer

            return GptqQuantizer(recipe, measured.feedbacks, grid_of).quantize_all


def one_by_one(quantizer: MatrixQuantizer, matrices: Mapping[str, Tensor]) -> dict[str, QuantizedMatrix]:
    """Return all matrices, each quantized independently."""
    return {name: quantizer.quantize(name, w_RC) for name, w_RC in matrices.items()}


def quantize_model(
    recipe: QuantizerRecipe, tensors: Inventory, weights: Mapping[str, Tensor], measured: Calibration
) -> QuantizedModel:
    """Return the weights, each tensor either quantized or converted to the float type."""
    chosen = [tensor.name for tensor in tensors if is_quantized(recipe, tensor) and tensor.group != "control"]
    pruned = {name: prune_smallest(weights[name].detach(), recipe.pruned) for name in chosen}
    grid_of: GridOf | None = None
    match recipe.steps:
        case FisherSteps():
            from trainer.quantizer.column_steps import divided_by_columns
            from trainer.quantizer.fisher_grid import FisherGrids

            grid_of = FisherGrids(recipe, recipe.steps, pruned, measured)
            pruned = divided_by_columns(pruned, measured.columns)
    quantized = make_quantizer(recipe, measured, grid_of)(pruned)
    matrices = {
        name: replace(found, codes_RC=found.codes_RC.cpu(), steps_R=found.steps_R.cpu())
        for name, found in quantized.items()
    }
    if recipe.gates:
        from trainer.quantizer.low_rank import round_factor

        gates = [tensor.name for tensor in tensors if is_quantized(recipe, tensor) and tensor.group == "control"]
        matrices |= {name: round_factor(weights[name].detach().float().cpu(), GATE_BITS, torch.int8) for name in gates}
    floats = {
        tensor.name: weights[tensor.name].detach().to(FLOAT_TYPES[recipe.float_type]).cpu()
        for tensor in tensors
        if tensor.name not in matrices
    }
    if isinstance(recipe.residual, LowRankResidual):
        matrices |= add_residuals(recipe.residual, pruned, {name: matrices[name] for name in pruned})
    match recipe.steps:
        case FisherSteps():
            from trainer.quantizer.column_steps import with_columns

            matrices = with_columns(matrices, measured.columns)
    return QuantizedModel(matrices, floats)
