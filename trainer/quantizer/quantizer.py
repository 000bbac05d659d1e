"""The quantizer slot: one grid for training, export and loading, so that they cannot differ."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from trainer.quantizer.low_rank import with_residuals
from trainer.quantizer.matrix import QuantizedMatrix
from trainer.quantizer.pruning import without_smallest
from trainer.recipe.inventory import Inventory
from trainer.recipe.quantizer import Gptq, LocalQuantizer, QuantizerRecipe, Rtn, is_quantized


class MatrixQuantizer(Protocol):
    """What export asks of a quantizer."""

    def quantize(self, name: str, w_RC: Tensor) -> QuantizedMatrix: ...


@dataclass(frozen=True, slots=True)
class QuantizedModel:
    """The weights as an artifact holds them."""

    matrices: dict[str, QuantizedMatrix]
    floats: dict[str, Tensor]

    def dequantize(self) -> dict[str, Tensor]:
        """Every tensor by name, float32."""
        matrices = {name: matrix.dequantize() for name, matrix in self.matrices.items()}
        return matrices | {name: tensor.float() for name, tensor in self.floats.items()}


def make_quantizer(recipe: QuantizerRecipe, hessians: Mapping[str, Tensor]) -> MatrixQuantizer:
    """The quantizer that a recipe names. `hessians` holds what calibration saw, where the recipe asks for it."""
    match recipe:
        case Rtn():
            from trainer.quantizer.rtn import RoundToNearest

            return RoundToNearest(recipe)
        case LocalQuantizer():
            from trainer.runtime.local_code import make_local

            made: MatrixQuantizer = make_local(recipe.file, recipe.class_name, recipe, **recipe.options)
            return made
        case Gptq():
            from trainer.quantizer.gptq import GptqQuantizer

            return GptqQuantizer(recipe, hessians)


def quantize_model(
    recipe: QuantizerRecipe, tensors: Inventory, weights: Mapping[str, Tensor], hessians: Mapping[str, Tensor]
) -> QuantizedModel:
    """The weights, with every tensor on its grid or in its float type."""
    quantizer = make_quantizer(recipe, hessians)
    matrices, floats = {}, {}
    for tensor in tensors:
        value = weights[tensor.name].detach()
        if is_quantized(recipe, tensor):
            matrix = quantizer.quantize(tensor.name, without_smallest(value, recipe.pruned))
            matrices[tensor.name] = QuantizedMatrix(matrix.codes_RC.cpu(), matrix.steps_R.cpu())
        else:
            floats[tensor.name] = (value.half() if recipe.float_type == "float16" else value.float()).cpu()
    if recipe.residual is not None:
        matrices = with_residuals(recipe.residual, weights, matrices)
    return QuantizedModel(matrices, floats)
