"""From float weights to the bytes of an artifact: calibrate, quantize, encode."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from torch import Tensor

from trainer.codec.container import ModelCard, encode_artifact, encoded_bytes
from trainer.codec.group_sizes import group_bytes
from trainer.data.sampling import random_sequences
from trainer.model.gpt import GptModel
from trainer.quantizer.calibration import calibrate, generate_sequences
from trainer.quantizer.fitting import fit_to_bytes
from trainer.quantizer.quantizer import QuantizedModel, quantize_model
from trainer.quantizer.repacking import MAX_ATTEMPTS, MAX_WIDENING, widen_clips, widening_for
from trainer.recipe.files import write_json
from trainer.recipe.inventory import inventory
from trainer.recipe.quantizer import (
    CalibrationRecipe,
    DeviationClip,
    GeneratedText,
    Gptq,
    QuantizerRecipe,
    Rtn,
    TrainingText,
    is_quantized,
)
from trainer.runtime.clock import PhaseClock
from trainer.runtime.job import TrainingJob
from trainer.runtime.journal import Journal
from trainer.training_data import TrainingData

OVER_LIMIT = "over_limit.bin"


class Exporter:
    """A trained model on its way into a file."""

    def __init__(
        self, job: TrainingJob, model: GptModel, data: TrainingData, clock: PhaseClock, journal: Journal,
        check: Callable[[], None],
    ) -> None:  # fmt: skip
        self.job, self.recipe, self.model, self.data = job, job.recipe, model, data
        self.clock, self.journal, self.check = clock, journal, check
        self.tensors = inventory(job.recipe.model, job.recipe.vocabulary_size)
        self.model.eval()

    def export(self) -> dict[str, Any]:
        """What is in model.bin, in bytes, beside the limit. What comes out over it is packed again on a wider grid, and
        stays beside the run as a reference, so that its score says what that cost.
        """
        quantizer = self.recipe.quantizer
        hessians = self.collect_hessians(quantizer)
        artifact = self.encode(quantizer, self.quantize(quantizer, hessians))
        over, times, attempt = artifact["total_bytes"] - artifact["limit_bytes"], 1.0, 0
        weights = sum(tensor.size for tensor in self.tensors if is_quantized(quantizer, tensor))
        if over <= 0 or not isinstance(quantizer, Rtn | Gptq) or not isinstance(quantizer.clip, DeviationClip):
            return artifact
        if widening_for(over, max(1, weights)) > MAX_WIDENING:
            self.journal.log(
                f"{over:,} bytes over the limit, more than a wider grid can mend; the artifact stays as it is"
            )
            return artifact
        self.job.files.references.mkdir(exist_ok=True)
        self.job.files.model.replace(self.job.files.references / OVER_LIMIT)
        repacked = {"bytes_before": artifact["total_bytes"]}
        while over > 0 and attempt < MAX_ATTEMPTS:
            times, attempt = min(MAX_WIDENING, times * widening_for(over, weights)), attempt + 1
            wider = widen_clips(quantizer, times)
            artifact = self.encode(wider, self.quantize(wider, hessians))
            over = artifact["total_bytes"] - artifact["limit_bytes"]
        fits = "fits" if over <= 0 else f"is still {over:,} bytes over"
        self.journal.log(f"over the limit: packed again with clips {times:.4f} times as wide, and {fits}")
        return artifact | {"repacked": repacked | {"clip_times": times}}

    def calibrate_and_quantize(self, recipe: QuantizerRecipe) -> QuantizedModel:
        """The model under a quantizer, calibrated as it asks for."""
        return self.quantize(recipe, self.collect_hessians(recipe))

    def collect_hessians(self, recipe: QuantizerRecipe) -> dict[str, Tensor]:
        """What a quantizer wants to know of the inputs of each matrix."""
        self.journal.report(phase="calibrate")
        with self.clock.phase("calibrate"):
            return calibrate(recipe, self.tensors, self.model, self.calibration_sequences, self.check)

    def quantize(self, recipe: QuantizerRecipe, hessians: dict[str, Tensor]) -> QuantizedModel:
        """The model under a calibrated quantizer."""
        self.journal.report(phase="quantize")
        with self.clock.phase("quantize"):
            return quantize_model(recipe, self.tensors, self.weights(), hessians)

    def weights(self) -> dict[str, Tensor]:
        """The float weights by name."""
        return {name: parameter.detach() for name, parameter in self.model.named_parameters()}

    def calibration_sequences(self, recipe: CalibrationRecipe) -> list[Tensor]:
        """The sequences that a calibration asks for. Shapes: (1, T) each."""
        tokens = recipe.tokens or self.recipe.schedule.sequence_tokens
        device, seed = self.model.device, self.job.seed
        match recipe:
            case GeneratedText():
                return generate_sequences(recipe, self.model, self.data.bos_token, tokens, seed, self.check)
            case TrainingText():
                if recipe.published_first:
                    from trainer.data.published_first_sequences import first_sequences

                    return list(first_sequences(self.data.stream, recipe.sequences, tokens, device))
                return list(random_sequences(self.data.stream, recipe.sequences, tokens, seed, device))

    def write_references(self) -> None:
        """Nothing; an artifact stands beside the run for each further quantizer that the recipe wants scored."""
        for name, reference in self.recipe.evaluation.references.items():
            self.job.files.references.mkdir(exist_ok=True)
            model, card = self.calibrate_and_quantize(reference.quantizer), self.card(reference.quantizer)
            encode_artifact(self.job.files.references / f"{name}.bin", card, model, self.recipe.codec)

    def card(self, quantizer: QuantizerRecipe) -> ModelCard:
        """What an artifact of this model says about itself. Its references are no part of it."""
        return ModelCard(
            model=self.recipe.model,
            vocabulary_size=self.recipe.vocabulary_size,
            quantizer=quantizer,
            evaluation=replace(self.recipe.evaluation, references={}),
            compute=self.recipe.compute,
        )

    def encode(self, quantizer: QuantizerRecipe, model: QuantizedModel) -> dict[str, Any]:
        """Model, code and total bytes, beside the limit; model.bin is written, if need be with codes set to zero."""
        recipe = self.recipe
        self.journal.report(phase="encode")
        card = self.card(quantizer)
        self.job.files.artifact.mkdir(exist_ok=True)
        with self.clock.phase("encode"):
            if limit := quantizer.fit_bytes:
                size_of = partial(encoded_bytes, card, codec=recipe.codec)
                model, zeroed = fit_to_bytes(model, quantizer, size_of, self.check)
                self.journal.log(f"fit: {zeroed:,} codes of 1 and -1 set to zero for {limit:,} bytes")
            streams = encode_artifact(self.job.files.model, card, model, recipe.codec)
        return count_bytes(self.job, streams, group_bytes(card, model, streams))


def count_bytes(job: TrainingJob, streams: dict[str, int], groups: dict[str, int] | None) -> dict[str, Any]:
    """Model, code and total bytes, beside the limit; with streams and tensor groups they also stand in bytes.json."""
    model_bytes, code_bytes = job.files.model.stat().st_size, job.run["code_bytes"]
    assert sum(streams.values()) == model_bytes, f"streams {streams} do not add up to {model_bytes}"
    artifact = {"model_bytes": model_bytes, "code_bytes": code_bytes, "total_bytes": model_bytes + code_bytes}
    artifact["limit_bytes"] = job.run["limit_bytes"]
    parts = {"streams": streams, "groups": groups, "code_basis": job.run["code_basis"]}
    write_json(job.files.bytes, artifact | parts)
    return artifact
