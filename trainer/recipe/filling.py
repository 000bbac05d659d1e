"""How many bytes quantized weights can fill."""

from trainer.recipe.inventory import Inventory
from trainer.recipe.patterns import value_for
from trainer.recipe.quantizer import FisherSteps, QuantizerRecipe, TrellisGptq, is_quantized

# Bits of the codes of quantizers whose codes are not bounded by `bits`.
WIDE_BITS = 16


def largest_code_bytes(quantizer: QuantizerRecipe, tensors: Inventory) -> float:
    """Return the bytes of all codes if each took as many bits as it can."""
    is_wide = isinstance(quantizer, TrellisGptq) or isinstance(quantizer.steps, FisherSteps)
    return sum(
        tensor.size * (WIDE_BITS if is_wide else value_for(quantizer.bits, tensor.name)) / 8
        for tensor in tensors
        if is_quantized(quantizer, tensor)
    )
