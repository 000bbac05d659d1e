"""Measure what training on the exported grid still buys where steps follow sensitivity.

    python experiments/studies/quantization/train_on_grid.py runs/quickstart-*/seed-* --out on_grid.jsonl
    python experiments/studies/quantization/compare.py on_grid.jsonl --reference "trellis 8, fisher, float"

Each run is trained again from its first step, and its last tenth several times: on float weights, as it was; on weights
rounded to the steps that their export would have then, which are measured again a few times; and the same with the
bits that the codes take added to the loss. Every ending is then exported and measured as measure.py does, always
against the float weights of the run. Training on the grid depends on the rate, so each rate has an ending of its own.
Only the loss saved tells endings apart, and only over seeds: each is another run, and its divergence is from weights
that it was not trained to keep.
"""

import argparse
import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import e, log, pi
from pathlib import Path
from typing import Any

import measure
import torch
from torch import Tensor
from torch.func import functional_call

from trainer.averaging.choice import choose_candidate
from trainer.data.sampling import random_sequences
from trainer.quantizer.column_steps import column_steps, divided_by_columns
from trainer.quantizer.fisher_grid import FisherGrids
from trainer.quantizer.quantizer import Calibration
from trainer.quantizer.repacking import scale_clips
from trainer.recipe.averaging import Candidates
from trainer.recipe.decode import decode_value
from trainer.recipe.quantizer import FisherSteps, Gptq, QuantizerRecipe, is_quantized
from trainer.runtime.clock import PhaseClock
from trainer.runtime.job import read_job
from trainer.runtime.journal import SilentJournal
from trainer.runtime.world import World
from trainer.training import Training

SHARE, REFRESHES = 0.1, 4
# Training rounds to nearest on the steps of `gptq`: GPTQ's feedback and the trellis would take seconds in every step.
GRID, EXPORT = "gptq, fisher", "trellis 8, fisher"
RATES = (1.0, 1.8)
# An ending is exported at its own rate; the float one at more, so that its losses are known at the bytes of others.
FLOAT_RATES = (0.8, 1.0, 1.25, 1.6, 1.8, 2.1)


@dataclass(frozen=True, slots=True)
class Ending:
    """How the last share of a run is trained."""

    name: str
    rate: float = 0.0
    """Factor on the clips of the grid; 0 for float weights."""
    worth_of_bits: float = 0.0
    """Weight of the bits in the loss. At 1 a bit counts as much as it would save if the steps were finer by it."""


ENDINGS = (
    Ending("float"),
    *(Ending(f"grid {rate:g}", rate) for rate in RATES),
    *(Ending(f"grid and {worth:g} x bits {rate:g}", rate, worth) for rate in RATES for worth in (1.0, 8.0)),
)


class GridLoss:
    """The loss of weights that are rounded to the grid of the export, with steps measured again at times."""

    def __init__(self, training: Training, subject: measure.Subject, ending: Ending, steps: int) -> None:
        recipe: QuantizerRecipe = decode_value(QuantizerRecipe, measure.VARIANTS[GRID], GRID)
        assert isinstance(recipe, Gptq)
        self.recipe, self.subject, self.ending = scale_clips(recipe, ending.rate), subject, ending
        self.model, self.module = training.model, training.loss.module
        parameters = dict(self.model.named_parameters())
        self.chosen = {
            tensor.name: parameters[tensor.name] for tensor in subject.tensors if is_quantized(recipe, tensor)
        }
        self.refresh_every, self.steps_taken = max(1, steps // REFRESHES), 0
        self.offsets: dict[str, Tensor] = {}

    def begin_step(self, multiplier: float) -> bool:
        """Round the weights for this step; there is nothing to probe."""
        if self.steps_taken % self.refresh_every == 0:
            self.measure_steps()
        self.steps_taken += 1
        with torch.no_grad():
            self.offsets = {name: self.rounded(name, w_RC) - w_RC for name, w_RC in self.chosen.items()}
        return False

    def measure_steps(self) -> None:
        """Give all rows and columns the steps that an export of the present weights would."""
        weights = {name: w_RC.detach().clone() for name, w_RC in self.model.named_parameters()}
        measured = calibrate_weights(self.subject, weights, self.recipe)
        chosen = {name: weights[name] for name in self.chosen}
        assert isinstance(self.recipe.steps, FisherSteps)
        grids = FisherGrids(self.recipe, self.recipe.steps, chosen, measured)
        in_columns = divided_by_columns(chosen, measured.columns)
        self.rows = {name: grids(name, w_RC) for name, w_RC in in_columns.items()}
        self.columns = {
            name: column_steps(measured.columns[name]) if name in measured.columns else torch.ones_like(w_RC[0])
            for name, w_RC in chosen.items()
        }
        summary = grids.summary()
        nats, count = sum(each["nats"] for each in summary), sum(each["weights"] for each in summary)
        self.nats_a_bit = 2 * log(2) * nats / count

    def rounded(self, name: str, w_RC: Tensor) -> Tensor:
        """Return a matrix rounded to nearest on its grid."""
        grid, step_C = self.rows[name], self.columns[name]
        return grid.codes(w_RC / step_C) * grid.divisors_R1 * step_C

    def mean_loss(self, x_BT: Tensor, y_BT: Tensor, documents_BT: Tensor | None) -> Tensor:
        """Return the mean nats of all targets, and of the bits if these count."""
        weights = {f"model.{name}": self.chosen[name] + offset for name, offset in self.offsets.items()}
        loss: Tensor = functional_call(self.module, weights, (x_BT, y_BT, documents_BT))
        return loss + self.ending.worth_of_bits * self.nats_a_bit * self.bits() if self.ending.worth_of_bits else loss

    def bits(self) -> Tensor:
        """Return about how many bits the codes take: those of Gaussians as wide as rows times columns."""
        total = torch.zeros((), device=self.model.device)
        for name, w_RC in self.chosen.items():
            squared_RC = (w_RC / self.columns[name] / self.rows[name].divisors_R1).square()
            variance_R1 = squared_RC.mean(dim=1, keepdim=True)
            variance_RC = variance_R1 * (squared_RC / variance_R1.clamp_min(1e-12)).mean(dim=0)
            total = total + 0.5 * (1 + 2 * pi * e * variance_RC).log2().sum()
        return total

    def probe(self, x_BT: Tensor, y_BT: Tensor, documents_BT: Tensor | None) -> str:
        return "steps follow sensitivity"


def calibrate_weights(subject: measure.Subject, weights: Mapping[str, Tensor], recipe: QuantizerRecipe) -> Calibration:
    """Return the calibration of other weights than those of the run."""
    subject.model.load_state_dict(weights)
    measured = subject.calibrate(recipe)
    subject.model.load_state_dict(subject.weights)
    return measured


def trained(subject: measure.Subject) -> Iterator[tuple[Ending, dict[str, Tensor]]]:
    """Train the run again, and yield the weights that each ending exports."""
    first = new_training(subject)
    train_until(first, 1 - SHARE)
    kept, steps = copy.deepcopy(first.state()), round(first.step * SHARE / (1 - SHARE))
    for ending in ENDINGS:
        training = new_training(subject)
        training.restore(copy.deepcopy(kept))
        if ending.rate:
            training.loss = GridLoss(training, subject, ending, steps)
        train_until(training, 1.0)
        choose_candidate(training.model, training.average.candidates(), candidates_text(subject))
        yield ending, {name: w.detach().clone() for name, w in training.parameters.items()}


def new_training(subject: measure.Subject) -> Training:
    """Return the training of the run before its first step."""
    return Training(subject.job, World(subject.device), SilentJournal(), PhaseClock())


def candidates_text(subject: measure.Subject) -> list[Tensor]:
    """Return the training text on which averages are compared, if the run has several."""
    averaging, tokens = subject.recipe.averaging, subject.recipe.schedule.sequence_tokens + 1
    count = averaging.sequences if isinstance(averaging, Candidates) else 0
    return list(random_sequences(subject.stream, count, tokens, subject.job.seed, subject.device))


def train_until(training: Training, progress: float) -> None:
    """Take steps until a share of the budget is spent."""
    while training.progress < progress:
        training.train_step(training.recipe.schedule.multiplier(training.progress))
    training.data.batches.close()


def measured(subject: measure.Subject, ending: Ending) -> Iterator[dict[str, Any]]:
    """Yield the measurements of one ending, whose weights the subject has."""
    for line in measure.measure(subject, EXPORT, (ending.rate,) if ending.rate else FLOAT_RATES):
        yield line | {"variant": f"{EXPORT}, {ending.name}"}


def main() -> None:
    """Measure all runs, and append each measurement to the output file as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="run directories that have checkpoints/prequant.ckpt")
    parser.add_argument("--out", type=Path, required=True, help="file to which measurements are appended")
    arguments = parser.parse_args()
    for root in arguments.runs:
        subject = measure.Subject(read_job(root), measure.TARGETS)
        kept = dict(subject.weights)
        for ending, weights in trained(subject):
            if not ending.rate and any(not torch.equal(weights[name], kept[name]) for name in kept):
                raise SystemExit(f"{root} does not train to the same weights again")
            subject.weights = weights
            subject.model.load_state_dict(weights)
            for line in measured(subject, ending):
                measure.keep(line, arguments.out)
            subject.weights = kept
            subject.model.load_state_dict(kept)


if __name__ == "__main__":
    main()
