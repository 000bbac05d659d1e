"""Packing, unpacking and scoring."""

from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.measure import Timing, repeat
from benchmarks.shapes import job_of_shape
from trainer.codec.container import ModelCard, decode_artifact, encode_artifact
from trainer.evaluation.ledger import ScoreLedger
from trainer.evaluation.scoring import score_stream
from trainer.evaluation.validation import read_validation
from trainer.model.gpt import GptModel
from trainer.quantizer.quantizer import quantize_model
from trainer.recipe.inventory import inventory
from trainer.runtime.world import World

SCORED_TOKENS = 20_481


def measure_artifact(shape: str, times: int) -> list[Timing]:
    """Quantize and encode, decode, and score a part of the validation text."""
    with job_of_shape(shape, None) as job, TemporaryDirectory(prefix="pgolf-bench-") as folder:
        recipe, path = job.recipe, Path(folder) / "model.bin"
        torch.manual_seed(0)
        model = GptModel(recipe.model, recipe.vocabulary_size)
        weights = {name: weight.detach() + 0.02 * torch.randn_like(weight) for name, weight in model.named_parameters()}
        tensors = inventory(recipe.model, recipe.vocabulary_size)
        card = ModelCard(
            model=recipe.model,
            vocabulary_size=recipe.vocabulary_size,
            quantizer=recipe.quantizer,
            evaluation=recipe.evaluation,
        )
        text = read_validation(job.data, recipe.vocabulary_size)
        tokens = text.tokens[:SCORED_TOKENS]

        def pack() -> None:
            encode_artifact(path, card, quantize_model(recipe.quantizer, tensors, weights, {}), recipe.codec)

        def score() -> None:
            world = World(torch.device("cpu"))
            score_stream(model, ScoreLedger(tokens), recipe.evaluation, world, text.begin, lambda _: None)

        packing = repeat(pack, times)
        size = path.stat().st_size
        return [
            Timing(f"pack {shape} ({recipe.codec.kind})", packing, size, "bytes"),
            Timing(f"unpack {shape}", repeat(lambda: decode_artifact(path), times), size, "bytes"),
            Timing(f"evaluate {shape} ({recipe.evaluation.kind})", repeat(score, times), len(tokens) - 1, "tokens"),
        ]
