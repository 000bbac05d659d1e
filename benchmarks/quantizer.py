"""Quantizing, packing and unpacking of a whole model of a published size."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from benchmarks.measure import Timing, repeat, seconds_of
from benchmarks.shapes import bench_device, job_of_shape
from trainer.codec.container import ModelCard, decode_artifact, encode_artifact
from trainer.model.gpt import GptModel
from trainer.quantizer.calibration import calibrate_steps
from trainer.quantizer.feedback import Feedback, compensated_names, feedbacks_of
from trainer.quantizer.hessians import collect_hessians
from trainer.quantizer.quantizer import NOT_CALIBRATED, Calibration, QuantizedModel, quantize_model
from trainer.recipe.codec import CodecRecipe, ColumnRange
from trainer.recipe.inventory import inventory
from trainer.recipe.quantizer import FisherSteps, Gptq, TrellisGptq
from trainer.recipe.recipe import Recipe

# A CPU calibrates on these few sequences in place of the spec's number.
CPU_CALIBRATION_SEQUENCES = 4


def measure_quantizer(times: int) -> list[Timing]:
    """Time the d 736 crawler: statistics, GPTQ and trellis codes of all matrices, packing and unpacking."""
    with job_of_shape("crawler", None) as job:
        recipe = job.recipe
    assert isinstance(recipe.quantizer, Gptq)
    model, tensors = random_model(recipe), inventory(recipe.model, recipe.vocabulary_size)
    weights, names = dict(model.named_parameters()), compensated_names(recipe.quantizer, tensors)
    length = recipe.quantizer.calibration.tokens or recipe.schedule.sequence_tokens
    sequences = recipe.quantizer.calibration.sequences if bench_device().type == "cuda" else CPU_CALIBRATION_SEQUENCES
    text = list(torch.randint(recipe.vocabulary_size, (sequences, 1, length), device=bench_device()))

    def collect() -> dict[str, Tensor]:
        return collect_hessians(model, names, text, lambda: None)

    def quantize() -> QuantizedModel:
        return quantize_model(recipe.quantizer, tensors, weights, replace(NOT_CALIBRATED, feedbacks=feedbacks))

    gptq = recipe.quantizer
    feedbacks = feedbacks_of(gptq, collect())
    quantized, size = quantize(), sum(tensor.size for tensor in tensors)
    codecs: tuple[CodecRecipe, ...] = (recipe.codec, ColumnRange(kind="column_range"))
    timings = [timing for codec in codecs for timing in pack_and_unpack(recipe, quantized, codec, size)]
    steps = FisherSteps(kind="fisher", calibration=gptq.calibration)
    fields = {name: getattr(gptq, name) for name in ("bits", "clip", "calibration", "float_up_to", "damping", "order")}
    trellis = TrellisGptq(kind="trellis_gptq", states=8, steps=steps, **fields)
    measured = replace(NOT_CALIBRATED, feedbacks=feedbacks)

    def measure_steps() -> Calibration:
        return calibrate_steps(trellis, tensors, model, measured, lambda _: text, lambda: None)

    def invert() -> dict[str, Feedback]:
        return feedbacks_of(gptq, hessians)

    hessians, calibrated = collect(), measure_steps()

    def quantize_on_trellis() -> QuantizedModel:
        return quantize_model(trellis, tensors, weights, calibrated)

    on_trellis = quantize_on_trellis()
    return [
        Timing("crawler: Hessians", [seconds_of(collect)], sequences * length, "tokens"),
        Timing("crawler: factors of their inverses", [seconds_of(invert)]),
        Timing("crawler: sensitivity of rows", [seconds_of(measure_steps)], sequences * length, "tokens"),
        Timing(f"crawler: GPTQ of {len(names)} matrices", repeat(quantize, times), size, "weights"),
        Timing("crawler: steps and trellis codes, 8 states", repeat(quantize_on_trellis, times), size, "weights"),
        *timings,
        *pack_and_unpack(replace(recipe, quantizer=trellis), on_trellis, ColumnRange(kind="column_range"), size),
    ]


def random_model(recipe: Recipe) -> GptModel:
    """Return a model with random weights as large as trained ones."""
    torch.manual_seed(0)
    model = GptModel(recipe.model, recipe.vocabulary_size).to(bench_device())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model


def pack_and_unpack(recipe: Recipe, quantized: QuantizedModel, codec: CodecRecipe, size: int) -> list[Timing]:
    """Time packing and unpacking with a codec."""
    card = ModelCard(
        model=recipe.model,
        vocabulary_size=recipe.vocabulary_size,
        quantizer=recipe.quantizer,
        evaluation=recipe.evaluation,
    )
    with TemporaryDirectory(prefix="pgolf-bench-") as folder:
        path = Path(folder) / "model.bin"
        packing = seconds_of(lambda: encode_artifact(path, card, quantized, codec))
        unpacking, length = seconds_of(lambda: decode_artifact(path)), path.stat().st_size
    name = f"({recipe.quantizer.kind}, {codec.kind}, {length:,} bytes)"
    return [
        Timing(f"crawler: pack {name}", [packing], size, "weights"),
        Timing(f"crawler: unpack {name}", [unpacking], size, "weights"),
    ]
