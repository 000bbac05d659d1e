"""The text on which a quantizer sees what matrices are fed, and what it sees. Never validation text."""

from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor

from trainer.model.gpt import GptModel
from trainer.quantizer.hessians import collect_hessians
from trainer.quantizer.quantizer import quantize_model
from trainer.recipe.inventory import MATRIX_GROUPS, Inventory
from trainer.recipe.plan import execution_plan
from trainer.recipe.quantizer import (
    CalibrationRecipe,
    GeneratedText,
    Gptq,
    LocalQuantizer,
    QuantizerRecipe,
    Rtn,
    is_quantized,
)

Sequences = list[Tensor]


def calibrate(
    recipe: QuantizerRecipe, tensors: Inventory, model: GptModel, sequences: Callable[[CalibrationRecipe], Sequences],
    check: Callable[[], None],
) -> dict[str, Tensor]:  # fmt: skip
    """The Hessian of every matrix that the recipe compensates, the model holding the float weights before and after.

    `check` is called between sequences.
    """
    match recipe:
        case Rtn() | LocalQuantizer():
            return {}
        case Gptq():
            names = compensated_names(recipe, tensors, model)
            text = sequences(recipe.calibration)
            hessians = collect_hessians(model, names, text, check)
            return recollect_in_loops(recipe, tensors, model, hessians, text, check) if recipe.loop_aware else hessians


def compensated_names(recipe: Gptq, tensors: Inventory, model: GptModel) -> list[str]:
    """The matrices that are not simply rounded."""
    head = "embedding.tokens" if model.head is None else "head"
    return [
        tensor.name
        for tensor in tensors
        if is_quantized(recipe, tensor)
        and (tensor.group in MATRIX_GROUPS or (recipe.tables == "head_inputs" and tensor.name == head))
    ]


@torch.no_grad()
def recollect_in_loops(
    recipe: Gptq, tensors: Inventory, model: GptModel, hessians: dict[str, Tensor], text: Sequences,
    check: Callable[[], None],
) -> dict[str, Tensor]:  # fmt: skip
    """The Hessians, those of blocks that run more than once taken again with every other matrix rounded (#1535)."""
    visits = Counter(execution.block for execution in execution_plan(model.recipe))
    repeated = ("instructions.", *(f"{block}." for block, count in visits.items() if count > 1))
    weights = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    rounded = quantize_model(recipe, tensors, weights, hessians).dequantize()
    flat = {name: rounded[name] for name in hessians if not name.startswith(repeated)}
    model.load_state_dict(weights | {name: weight.to(weights[name].device) for name, weight in flat.items()})
    again = collect_hessians(model, [name for name in hessians if name.startswith(repeated)], text, check)
    model.load_state_dict(weights)
    return hessians | again


@torch.no_grad()
def generate_sequences(
    recipe: GeneratedText, model: GptModel, begin: int, tokens: int, seed: int, check: Callable[[], None]
) -> Sequences:
    """Sequences that the model writes, each from the token that begins a document. `check` is called for each token.

    Shapes: (1, T) each.
    """
    device = model.embedding.tokens.device
    generator = torch.Generator().manual_seed(seed)
    text_BT = torch.full((recipe.sequences, 1), begin, device=device)
    while text_BT.size(1) < tokens:
        check()
        logits_BV = model(text_BT, last=1)[:, 0]
        shares_BV = torch.softmax(logits_BV / recipe.temperature, dim=-1).cpu()
        next_B1 = torch.multinomial(shares_BV, 1, generator=generator).to(device)
        text_BT = torch.cat((text_BT, next_B1), dim=1)
    return list(torch.split(text_BT, 1))
