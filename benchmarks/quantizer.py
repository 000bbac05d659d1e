"""GPTQ of one matrix of a published size, beside rounding to nearest."""

import torch

from benchmarks.measure import Timing, repeat
from trainer.quantizer.gptq import GptqQuantizer
from trainer.quantizer.rtn import RoundToNearest
from trainer.recipe.quantizer import DeviationClip, Gptq, TrainingText

NAME = "flat.0.mlp.down"
ROWS, COLUMNS, INPUTS = 736, 2_944, 8_192  # the MLP of #1579 at width 736


def measure_quantizer(times: int) -> list[Timing]:
    """Seconds of a matrix on its way to codes, calibration apart."""
    generator = torch.Generator().manual_seed(0)
    w_RC = 0.04 * torch.randn(ROWS, COLUMNS, generator=generator)
    inputs_NC = torch.randn(INPUTS, 64, generator=generator) @ torch.randn(64, COLUMNS, generator=generator)
    inputs_NC += torch.randn(INPUTS, COLUMNS, generator=generator)
    recipe = Gptq(
        kind="gptq",
        bits={"default": 6},
        clip=DeviationClip(kind="deviations", k={"default": 12.85}),
        calibration=TrainingText(kind="training"),
    )
    gptq, rtn = GptqQuantizer(recipe, {NAME: inputs_NC.mT @ inputs_NC}), RoundToNearest(recipe)
    size = w_RC.numel()
    return [
        Timing(f"GPTQ {ROWS}x{COLUMNS}", repeat(lambda: gptq.quantize(NAME, w_RC), times), size, "weights"),
        Timing(f"round to nearest {ROWS}x{COLUMNS}", repeat(lambda: rtn.quantize(NAME, w_RC), times), size, "weights"),
    ]
