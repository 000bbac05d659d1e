"""`python -P -m trainer.step_search RUN_DIR REQUEST`: choose the exponents of steps by sensitivity, on training text.

REQUEST is a JSON file with a quantizer, a codec and the bytes of model.bin. The float weights of the run are quantized
with some exponents after another, at these bytes, and the predictions are compared with those of the float weights on
training text that calibration does not use. Each attempt is printed as a line of JSON; the last line has the exponents
that diverge least, and what their steps mean for each tensor.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.codec.container import encoded_bytes
from trainer.data.sampling import random_sequences
from trainer.export import Exporter, make_card
from trainer.model.gpt import GptModel
from trainer.quantizer.calibration import calibrate_inputs, calibrate_steps
from trainer.quantizer.column_steps import divided_by_columns
from trainer.quantizer.fisher_grid import FisherGrids
from trainer.quantizer.quantizer import Calibration, QuantizedModel
from trainer.quantizer.repacking import MAX_SCALING, scale_clips, search_times
from trainer.recipe.codec import CodecRecipe
from trainer.recipe.decode import decode_value
from trainer.recipe.quantizer import FisherSteps, Gptq, QuantizerRecipe, Rtn, is_quantized
from trainer.recipe.reading import read_json
from trainer.runtime.checkpoint import read_checkpoint
from trainer.runtime.clock import PhaseClock
from trainer.runtime.device import choose_device
from trainer.runtime.failure import RunFailure
from trainer.runtime.job import TrainingJob, read_job
from trainer.runtime.journal import SilentJournal
from trainer.runtime.world import World
from trainer.training_data import TrainingData

# Exponents that are tried: of columns first, then of tensors and rows together.
COLUMN_EXPONENTS = (0.4, 0.6, 0.8, 1.0)
ROW_EXPONENTS = (0.6, 0.8, 1.0)
# Sequences of training text on which candidates are compared.
COMPARED_SEQUENCES = 64


@dataclass(frozen=True, slots=True)
class Request:
    """What is searched for."""

    quantizer: QuantizerRecipe
    codec: CodecRecipe
    model_bytes: int


class StepSearch:
    """The float weights of a run, and the steps that are tried on them."""

    def __init__(self, job: TrainingJob, request: Request) -> None:
        assert isinstance(request.quantizer, Rtn | Gptq), "pgolf asks for no other"
        self.job, self.request, self.quantizer = job, request, request.quantizer
        world = World(choose_device("cuda" if torch.cuda.is_available() else "cpu"))
        data = TrainingData(job, world)
        self.model = GptModel(job.recipe.model, job.recipe.vocabulary_size, job.recipe.compute).to(world.device)
        self.weights = read_checkpoint(job.files.prequant)
        self.model.load_state_dict(self.weights)
        self.exporter = Exporter(job, self.model, data, PhaseClock(), SilentJournal(), lambda: None)
        self.chosen = [tensor for tensor in self.exporter.tensors if is_quantized(self.quantizer, tensor)]
        tokens, seed = job.recipe.schedule.sequence_tokens, job.seed + 1
        self.compared = list(random_sequences(data.stream, COMPARED_SEQUENCES, tokens, seed, world.device))
        self.of_float = [log_shares_TV.cpu() for log_shares_TV in self.predictions()]
        self.times = 1.0
        sequences, check = self.exporter.calibration_sequences, self.exporter.check
        self.inputs = calibrate_inputs(self.quantizer, self.exporter.tensors, self.model, sequences, check)

    @torch.no_grad()
    def predictions(self) -> Iterator[Tensor]:
        """Yield the log probabilities at all positions of each compared sequence. Shapes: (T, V) each."""
        for tokens_1T in self.compared:
            yield F.log_softmax(self.model(tokens_1T)[0].float(), dim=-1)

    def divergence(self, weights: Mapping[str, Tensor]) -> float:
        """Return the divergence of the predictions of other weights, in nats a token."""
        self.model.load_state_dict(weights)
        pairs = zip(self.of_float, self.predictions(), strict=True)
        total = sum(float((old_TV.exp() * (old_TV - new_TV.cpu())).sum()) for old_TV, new_TV in pairs)
        self.model.load_state_dict(self.weights)
        return total / sum(tokens_1T.numel() for tokens_1T in self.compared)

    def search(self) -> Iterator["Attempt"]:
        """Yield attempts; what is tried depends on which one of those before was best."""
        first = self.quantizer.steps or FisherSteps(kind="fisher")
        measured = self.measure(first)
        self.find_scale(first, measured)
        attempts = [self.attempt(first, measured)]
        yield attempts[0]
        for column in COLUMN_EXPONENTS if isinstance(self.quantizer, Gptq) else ():
            if column != first.column:
                steps = replace(first, column=column)
                attempts.append(self.attempt(steps, self.measure(steps)))
                yield attempts[-1]
        best = min(attempts, key=lambda attempt: attempt.divergence)
        for exponent in ROW_EXPONENTS:
            steps = replace(best.steps, tensor=exponent, row=exponent)
            if steps != best.steps:
                yield self.attempt(steps, best.measured)

    def measure(self, steps: FisherSteps) -> Calibration:
        """Return the calibration for some exponents."""
        recipe = replace(self.quantizer, steps=steps)
        sequences, tensors = self.exporter.calibration_sequences, self.exporter.tensors
        return calibrate_steps(recipe, tensors, self.model, self.inputs, sequences, self.exporter.check)

    def find_scale(self, steps: FisherSteps, measured: Calibration) -> None:
        """Find the factor on all clips with which some exponents give the bytes that are wanted."""
        recipe = replace(self.quantizer, steps=steps)

        def size_at(times: float) -> int:
            return self.size(recipe, self.exporter.quantize(scale_clips(recipe, times), measured))

        tried = search_times(
            size_at, size_at(1.0), self.request.model_bytes, self.weights_count, 1 / MAX_SCALING, MAX_SCALING
        )
        self.times = list(tried)[-1]

    def attempt(self, steps: FisherSteps, measured: Calibration) -> "Attempt":
        """Return what some exponents lose at the bytes that are wanted."""
        recipe = self.scaled(steps)
        model = self.exporter.quantize(recipe, measured)
        size = self.size(recipe, model)
        bits_over = 8 * (size - self.request.model_bytes) / self.weights_count
        return Attempt(steps, size, self.divergence(model.dequantize()) * 4**bits_over, measured)

    def scaled(self, steps: FisherSteps) -> Rtn | Gptq:
        """Return the quantizer with some exponents, and clips for the bytes that are wanted."""
        return scale_clips(replace(self.quantizer, steps=steps), self.times)

    def size(self, recipe: Rtn | Gptq, model: QuantizedModel) -> int:
        """Return the bytes of model.bin."""
        return encoded_bytes(make_card(self.job.recipe, recipe), model, self.request.codec)

    @property
    def weights_count(self) -> int:
        return max(1, sum(tensor.size for tensor in self.chosen))

    def table(self, attempt: "Attempt") -> list[dict[str, Any]]:
        """Return the steps of each tensor, and its shares of bits and of the predicted loss."""
        recipe = self.scaled(attempt.steps)
        weights = {tensor.name: self.weights[tensor.name] for tensor in self.chosen}
        in_columns = divided_by_columns(weights, attempt.measured.columns)
        return FisherGrids(recipe, attempt.steps, in_columns, attempt.measured).summary()


@dataclass(frozen=True, slots=True)
class Attempt:
    """Exponents, and what their steps lose."""

    steps: FisherSteps
    bytes: int
    divergence: float
    """Nats a token on training text, at the bytes that are wanted; a bit a weight counts as a factor of 4."""
    measured: Calibration

    def as_json(self) -> dict[str, Any]:
        exponents = {name: getattr(self.steps, name) for name in ("tensor", "row", "column")}
        return exponents | {"bytes": self.bytes, "divergence": self.divergence}


def step_search_main() -> int:
    """Print the attempts and the best one, and return the exit code."""
    parser = argparse.ArgumentParser(prog="trainer.step_search")
    parser.add_argument("run", type=Path)
    parser.add_argument("request", type=Path)
    arguments = parser.parse_args()
    try:
        request: Request = decode_value(Request, read_json(arguments.request), "request")
        search, attempts = StepSearch(read_job(arguments.run), request), list[Attempt]()
        for attempt in search.search():
            attempts.append(attempt)
            print(json.dumps({"tried": attempt.as_json()}), flush=True)
        best = min(attempts, key=lambda attempt: attempt.divergence)
        print(json.dumps({"best": best.as_json(), "clip_times": search.times, "tensors": search.table(best)}))
    except RunFailure as failure:
        print(failure, file=sys.stderr)
        return failure.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(step_search_main())
