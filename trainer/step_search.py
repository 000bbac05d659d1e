"""`python -P -m trainer.step_search RUN_DIR REQUEST`: choose the exponents of steps by sensitivity, on training text.

REQUEST is a JSON file with a quantizer, a codec and the bytes of model.bin. The float weights of the run are quantized
with one set of exponents after another, and the predictions are compared with those of the float weights on training
text that calibration does not read. Clips are scaled to the bytes once, with the first exponents; what others lose at
these bytes follows from what they lose at nearly as many. Each attempt is printed as a line of JSON; the last line has
the exponents that diverge least, and what their steps mean for each tensor.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.codec.container import encoded_bytes
from trainer.data.sampling import random_starts
from trainer.export import Exporter, make_card
from trainer.model.gpt import GptModel
from trainer.quantizer.calibration import calibrate_inputs, calibrate_steps
from trainer.quantizer.fisher_grid import FisherGrids
from trainer.quantizer.quantizer import Calibration, QuantizedModel
from trainer.quantizer.repacking import MAX_SCALING, scale_clips, search_times
from trainer.recipe.codec import CodecRecipe
from trainer.recipe.decode import decode_value
from trainer.recipe.files import ANSWER
from trainer.recipe.quantizer import FisherSteps, Gptq, QuantizerRecipe, Rtn, TrainingText, is_quantized
from trainer.recipe.reading import read_json
from trainer.runtime.checkpoint import read_checkpoint
from trainer.runtime.clock import PhaseClock
from trainer.runtime.device import choose_device
from trainer.runtime.failure import RunFailure, TrainingFailed
from trainer.runtime.job import TrainingJob, read_job
from trainer.runtime.journal import SilentJournal
from trainer.runtime.world import World
from trainer.training_data import TrainingData

# Exponents that are tried: of columns first, then of tensors and rows together.
COLUMN_EXPONENTS = (0.4, 0.6, 0.8, 1.0)
ROW_EXPONENTS = (0.6, 0.8, 1.0)
# Sequences of training text on which candidates are compared, and places that are looked at to find them.
COMPARED_SEQUENCES, CANDIDATE_STARTS = 64, 2048


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
        tokens = job.recipe.schedule.sequence_tokens
        starts = free_starts(len(data.stream), tokens, job.seed, self.calibrated(len(data.stream)))
        self.compared = [torch.from_numpy(data.stream.read(at, tokens)).to(world.device)[None] for at in starts]
        self.rounded = GptModel(job.recipe.model, job.recipe.vocabulary_size, job.recipe.compute).to(world.device)
        self.times = 1.0
        sequences, check = self.exporter.calibration_sequences, self.exporter.check
        self.inputs = calibrate_inputs(self.quantizer, self.exporter.tensors, self.model, sequences, check)

    @torch.no_grad()
    def divergence(self, weights: Mapping[str, Tensor]) -> float:
        """Return the divergence (KL) of the predictions of other weights, in nats a token."""
        self.rounded.load_state_dict(weights)
        total = 0.0
        for tokens_1T in self.compared:
            before_TV, after_TV = (F.log_softmax(each(tokens_1T)[0].float(), -1) for each in (self.model, self.rounded))
            total += float((before_TV.exp() * (before_TV - after_TV)).sum())
        return total / sum(tokens_1T.numel() for tokens_1T in self.compared)

    def calibrated(self, size: int) -> list[range]:
        """Return the parts of the training text that calibration reads. `size` is that of all of it, in tokens."""
        quantizer, found = self.quantizer, list[range]()
        texts = [quantizer.calibration] if isinstance(quantizer, Gptq) else []
        for text in [*texts, (quantizer.steps or FisherSteps(kind="fisher")).calibration]:
            if isinstance(text, TrainingText):
                tokens = text.tokens or self.job.recipe.schedule.sequence_tokens
                first = [range(text.sequences * tokens)] if text.published_first else []
                starts = [] if first else random_starts(size, text.sequences, tokens, self.job.seed)
                found += first + [range(at, at + tokens) for at in starts]
        return found

    def search(self) -> Iterator["Attempt"]:
        """Yield attempts: exponents of columns first, then those of tensors and rows with the best of these."""
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
        return FisherGrids(recipe, attempt.steps, weights, attempt.measured).summary()


def free_starts(size: int, tokens: int, seed: int, taken: Sequence[range]) -> list[int]:
    """Return random starts of sequences that share no token with the parts that are taken. `size` is that of the text.

    Raises:
        TrainingFailed: no such sequence was found.
    """
    starts = random_starts(size, CANDIDATE_STARTS, tokens, seed + 1)
    free = [at for at in starts if all(at + tokens <= part.start or part.stop <= at for part in taken)]
    if not free:
        raise TrainingFailed("calibration reads nearly all of the training text; use fewer calibration.sequences")
    return free[:COMPARED_SEQUENCES]


@dataclass(frozen=True, slots=True)
class Attempt:
    """Exponents, and what their steps lose."""

    steps: FisherSteps
    bytes: int
    divergence: float
    """Nats a token on training text, at the bytes that are wanted; a bit a weight counts as a factor of 4."""
    measured: Calibration

    def as_json(self) -> dict[str, Any]:
        names = ("tensor", "row", "column") if self.measured.columns or not self.steps.column else ("tensor", "row")
        exponents = {name: getattr(self.steps, name) for name in names}
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
            print(ANSWER + json.dumps({"tried": attempt.as_json()}), flush=True)
        best = min(attempts, key=lambda attempt: attempt.divergence)
        answer = {"best": best.as_json(), "clip_times": search.times, "tensors": search.table(best)}
        print(ANSWER + json.dumps(answer), flush=True)
    except RunFailure as failure:
        print(failure, file=sys.stderr)
        return failure.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(step_search_main())
