"""The quantizer slot: one object for export, loading and (later) training, so that their grids cannot differ."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from trainer.quantizer.matrix import QuantizedMatrix
from trainer.recipe.inventory import TensorSpec
from trainer.recipe.quantizer import QuantizerRecipe, Rtn, is_quantized


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


def make_quantizer(recipe: QuantizerRecipe) -> MatrixQuantizer:
    """The quantizer that a recipe names."""
    match recipe:
        case Rtn():
            from trainer.quantizer.rtn import RoundToNearest

            return RoundToNearest(recipe)


def quantize_model(
    recipe: QuantizerRecipe, tensors: tuple[TensorSpec, ...], weights: Mapping[str, Tensor]
) -> QuantizedModel:
    """The weights, with every tensor on its grid or in its float type."""
    quantizer = make_quantizer(recipe)
    matrices, floats = {}, {}
    for tensor in tensors:
        value = weights[tensor.name].detach().cpu()
        if is_quantized(recipe, tensor):
            matrices[tensor.name] = quantizer.quantize(tensor.name, value)
        else:
            floats[tensor.name] = value.half() if recipe.float_type == "float16" else value.float()
    return QuantizedModel(matrices, floats)
