"""Export of the trained weights into an artifact: calibrate, quantize, encode."""

import shutil
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
from trainer.quantizer.quantizer import Calibration, QuantizedModel, quantize_model
from trainer.quantizer.repacking import MAX_SCALING, MAX_WIDENING, is_filled, scale_clips, search_times, widening_for
from trainer.recipe.files import RunFiles
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
from trainer.recipe.recipe import Recipe
from trainer.recipe.writing import write_json
from trainer.runtime.clock import PhaseClock
from trainer.runtime.job import TrainingJob
from trainer.runtime.journal import Journal
from trainer.training_data import TrainingData

OVER_LIMIT = "over_limit.bin"


class Exporter:
    """Quantizes and encodes one trained model."""

    def __init__(
        self, job: TrainingJob, model: GptModel, data: TrainingData, clock: PhaseClock, journal: Journal,
        check: Callable[[], None],
    ) -> None:  # fmt: skip
        self.job, self.recipe, self.model, self.data = job, job.recipe, model, data
        self.clock, self.journal, self.check = clock, journal, check
        self.tensors = inventory(job.recipe.model, job.recipe.vocabulary_size)
        self.model.eval()

    def export(self) -> dict[str, Any]:
        """Write model.bin, and return its bytes and the limit. Clips are scaled if it must have fewer or more bytes."""
        quantizer = self.recipe.quantizer
        measured = self.measure(quantizer)
        artifact = self.encode(quantizer, self.quantize(quantizer, measured))
        if not isinstance(quantizer, Rtn | Gptq) or not isinstance(quantizer.clip, DeviationClip):
            return artifact
        if quantizer.fill_bytes:
            return self.quantize_to_fill(quantizer, measured, artifact)
        limit = artifact["limit_bytes"]
        if limit is not None and artifact["total_bytes"] > limit:
            return self.quantize_to_fit(quantizer, measured, artifact)
        return artifact

    def quantize_to_fill(
        self, quantizer: Rtn | Gptq, measured: Calibration, artifact: dict[str, Any]
    ) -> dict[str, Any]:
        """Quantize again with wider or narrower clips until the artifact has `fill_bytes`, or few less."""
        from trainer.recipe.filling import largest_code_bytes

        wanted, most = quantizer.fill_bytes, artifact["code_bytes"] + largest_code_bytes(quantizer, self.tensors)
        if not artifact["code_bytes"] < wanted < most:
            room = f"code and model have {artifact['code_bytes']:,} to {most:,.0f} bytes, whatever the clips"
            self.journal.log(f"fill_bytes is {wanted:,}, but {room}; they are kept")
            return artifact
        artifact, times = self.search_clips(quantizer, measured, artifact, wanted, 1 / MAX_SCALING, MAX_SCALING)
        size = artifact["total_bytes"]
        how = "give" if is_filled(size, wanted) else "do not fill the artifact, no others come closer:"
        self.journal.log(f"clips {times:.4f} times as wide {how} {size:,} of {wanted:,} bytes")
        return artifact | {"filled": {"bytes": wanted, "clip_times": times}}

    def quantize_to_fit(self, quantizer: Rtn | Gptq, measured: Calibration, artifact: dict[str, Any]) -> dict[str, Any]:
        """Quantize again with wider clips until the artifact fits.

        The artifact over the limit is kept as a reference, whose score shows what the wider clips cost.
        """
        before, limit = artifact["total_bytes"], artifact["limit_bytes"]
        if widening_for(before - limit, self.quantized_weights) > MAX_WIDENING:
            self.journal.log(f"{before - limit:,} bytes over the limit are more than wider clips can save")
            return artifact
        keep_over_limit(self.job.files)
        artifact, times = self.search_clips(quantizer, measured, artifact, limit, 1.0, MAX_WIDENING)
        self.journal.log(
            f"clips {times:.4f} times as wide give {artifact['total_bytes']:,} bytes in place of {before:,}"
        )
        return artifact | {"repacked": {"bytes_before": before, "clip_times": times}}

    def search_clips(
        self, quantizer: Rtn | Gptq, measured: Calibration, artifact: dict[str, Any], wanted: int,
        least: float, most: float,
    ) -> tuple[dict[str, Any], float]:  # fmt: skip
        """Write the artifact whose clips, scaled by one factor, give it `wanted` bytes or few less.

        Returns its bytes and the factor, which is between `least` and `most`.
        """
        written = 1.0

        def size_at(times: float) -> int:
            nonlocal artifact, written
            artifact, written = self.encode_scaled(quantizer, measured, times), times
            return int(artifact["total_bytes"])

        tried = search_times(size_at, artifact["total_bytes"], wanted, self.quantized_weights, least, most)
        if (best := list(tried)[-1]) != written:
            size_at(best)
        return artifact, best

    def encode_scaled(self, quantizer: Rtn | Gptq, measured: Calibration, times: float) -> dict[str, Any]:
        """Write the artifact with clips `times` as wide, and return its bytes."""
        self.check()
        scaled = scale_clips(quantizer, times)
        return self.encode(scaled, self.quantize(scaled, measured))

    @property
    def quantized_weights(self) -> int:
        """Number of weights that are quantized, at least 1."""
        return max(1, sum(tensor.size for tensor in self.tensors if is_quantized(self.recipe.quantizer, tensor)))

    def measure(self, recipe: QuantizerRecipe) -> Calibration:
        """Return what the quantizer needs to know of each matrix."""
        self.journal.report(phase="calibrate")
        with self.clock.phase("calibrate"):
            return calibrate(recipe, self.tensors, self.model, self.calibration_sequences, self.check)

    def quantize(self, recipe: QuantizerRecipe, measured: Calibration) -> QuantizedModel:
        """Quantize the model with the results of calibration."""
        self.journal.report(phase="quantize")
        with self.clock.phase("quantize"):
            weights = {name: parameter.detach() for name, parameter in self.model.named_parameters()}
            return quantize_model(recipe, self.tensors, weights, measured)

    def calibration_sequences(self, recipe: CalibrationRecipe) -> list[Tensor]:
        """Return the sequences to calibrate on. Shapes: (1, T) each."""
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
        """Write an artifact for each further quantizer that the recipe compares with."""
        for name, reference in self.recipe.evaluation.references.items():
            self.job.files.references.mkdir(exist_ok=True)
            quantizer = reference.quantizer
            model = self.quantize(quantizer, self.measure(quantizer))
            path = self.job.files.references / f"{name}.bin"
            encode_artifact(path, make_card(self.recipe, quantizer), model, self.recipe.codec)

    def encode(self, quantizer: QuantizerRecipe, model: QuantizedModel) -> dict[str, Any]:
        """Write model.bin, with codes set to zero if it must fit `fit_bytes`, and return its bytes and the limit."""
        recipe = self.recipe
        self.journal.report(phase="encode")
        card = make_card(recipe, quantizer)
        self.job.files.artifact.mkdir(exist_ok=True)
        with self.clock.phase("encode"):
            if quantizer.fit_bytes:
                size_of = partial(encoded_bytes, card, codec=recipe.codec)
                model, zeroed = fit_to_bytes(model, quantizer, size_of, self.check)
                self.journal.log(f"fit: {zeroed:,} codes of 1 and -1 set to zero for {quantizer.fit_bytes:,} bytes")
            streams = encode_artifact(self.job.files.model, card, model, recipe.codec)
        return count_bytes(self.job, streams, group_bytes(card, model, streams))


def keep_over_limit(files: RunFiles) -> None:
    """Keep the artifact that is over the limit as a reference."""
    files.references.mkdir(exist_ok=True)
    shutil.copyfile(files.model, files.references / OVER_LIMIT)


def make_card(recipe: Recipe, quantizer: QuantizerRecipe) -> ModelCard:
    """Return the header of an artifact of a recipe's model, without the recipe's references."""
    return ModelCard(
        model=recipe.model,
        vocabulary_size=recipe.vocabulary_size,
        quantizer=quantizer,
        evaluation=replace(recipe.evaluation, references={}),
        compute=recipe.compute,
    )


def count_bytes(job: TrainingJob, streams: dict[str, int], groups: dict[str, int] | None) -> dict[str, Any]:
    """Write bytes.json, and return the bytes of model and code, their sum, and the limit."""
    model_bytes, code_bytes = job.files.model.stat().st_size, job.run["code_bytes"]
    assert sum(streams.values()) == model_bytes, f"{streams} do not add up to {model_bytes}"
    artifact = {"model_bytes": model_bytes, "code_bytes": code_bytes, "total_bytes": model_bytes + code_bytes}
    artifact["limit_bytes"] = job.run["limit_bytes"]
    parts = {"streams": streams, "groups": groups, "code_basis": job.run["code_basis"]}
    write_json(job.files.bytes, artifact | parts)
    return artifact
