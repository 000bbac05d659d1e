"""Measure what quantizers lose on the float weights of finished runs, in real bytes.

    python experiments/studies/quantization/measure.py runs/quickstart-*/seed-* --out quantization.jsonl

For each run, quantizer and rate: the bytes of model.bin and of the train_gpt.py that this quantizer needs; the
divergence (KL) of its predictions from those of the float weights; and the difference of their losses in each window,
from which intervals are computed. The text is the run's validation text, in windows of its training length spread over
all of it. Everything that a quantizer chooses, it chooses on training text. What is in the output file already is not
measured again. `--variants bound` computes what no quantizer of Gaussian weights can go below.
"""

import argparse
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from math import log
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pgolf.bundle.build import bundle_of
from pgolf.rulesets.ruleset import load_ruleset
from pgolf.specs.loading import load_spec
from trainer.codec.container import ModelCard, encoded_bytes
from trainer.data.manifest import read_split
from trainer.data.sampling import random_sequences
from trainer.data.shards import TokenStream
from trainer.evaluation.validation import read_validation
from trainer.model.gpt import GptModel
from trainer.quantizer.calibration import calibrate
from trainer.quantizer.column_steps import divided_by_columns
from trainer.quantizer.fisher_grid import FisherGrids
from trainer.quantizer.quantizer import Calibration, quantize_model
from trainer.quantizer.repacking import scale_clips
from trainer.recipe.codec import ColumnRange
from trainer.recipe.decode import decode_value
from trainer.recipe.inventory import inventory
from trainer.recipe.quantizer import CalibrationRecipe, FisherSteps, Gptq, QuantizerRecipe, Rtn
from trainer.recipe.recipe import Recipe
from trainer.runtime.checkpoint import read_checkpoint
from trainer.runtime.device import choose_device
from trainer.runtime.job import TrainingJob, read_job

CALIBRATION = {"kind": "training", "sequences": 64}
GRID = {
    "bits": {"default": 6, "embedding": 8},
    "clip": {"kind": "deviations", "k": {"default": 12.85, "embedding": 20.0}},
    "float_up_to": 0,
}
GPTQ = GRID | {"kind": "gptq", "calibration": CALIBRATION}


def fisher(**exponents: float) -> dict[str, Any]:
    """Return steps by sensitivity, with other exponents than the default ones."""
    return {"kind": "fisher", "calibration": CALIBRATION, **exponents}


# Quantizers by name. The first is the one that the others are compared with.
VARIANTS: dict[str, dict[str, Any]] = {
    "gptq": GPTQ,
    "gptq, finer table": GPTQ | {"clip": {"kind": "deviations", "k": {"default": 12.85, "embedding": 8.0}}},
    "rtn": GRID | {"kind": "rtn"},
    "rtn, fisher": GRID | {"kind": "rtn", "steps": fisher()},
    "gptq, fisher": GPTQ | {"steps": fisher()},
    "gptq, fisher rows": GPTQ | {"steps": fisher(column=0.0)},
    "gptq, fisher 0.8": GPTQ | {"steps": fisher(tensor=0.8, row=0.8)},
    "gptq, fisher 0.6": GPTQ | {"steps": fisher(tensor=0.6, row=0.6)},
    "trellis 8": GPTQ | {"kind": "trellis_gptq", "states": 8},
    "trellis 8, fisher": GPTQ | {"kind": "trellis_gptq", "states": 8, "steps": fisher()},
    "trellis 4, fisher": GPTQ | {"kind": "trellis_gptq", "states": 4, "steps": fisher()},
    "gptq, fisher tensor": GPTQ | {"steps": fisher(row=0.0, deviation=1.0, column=0.0)},
    "gptq, fisher row": GPTQ | {"steps": fisher(tensor=0.0, column=0.0)},
}
# Factors on all clips.
RATES = (0.75, 1.0, 1.4, 1.8, 2.4)
TARGETS = 122_880
CODEC = ColumnRange(kind="column_range")


@dataclass(frozen=True, slots=True)
class HeldOutText:
    """Windows of validation text. Shapes: (N, T)."""

    inputs_NT: Tensor
    targets_NT: Tensor
    bytes_per_target: float


class Subject:
    """The float weights of a run, and what they predict."""

    def __init__(self, job: TrainingJob, targets: int) -> None:
        self.job, self.recipe = job, job.recipe
        self.device = choose_device("cuda" if torch.cuda.is_available() else "cpu")
        self.weights = {name: w.to(self.device) for name, w in read_checkpoint(job.files.prequant).items()}
        self.tensors = inventory(job.recipe.model, job.recipe.vocabulary_size)
        self.model = GptModel(job.recipe.model, job.recipe.vocabulary_size, job.recipe.compute).eval().to(self.device)
        self.model.load_state_dict(self.weights)
        self.stream = TokenStream(read_split(job.data, "train", job.recipe.vocabulary_size).shards)
        self.text = held_out_text(job, targets, self.device)
        self.log_shares = list(self.predict())
        self.nats = torch.cat([nats_of(*pair) for pair in zip(self.log_shares, self.target_batches(), strict=True)])

    def batches(self) -> Iterator[Tensor]:
        yield from torch.split(self.text.inputs_NT, 8)

    def target_batches(self) -> Iterator[Tensor]:
        yield from torch.split(self.text.targets_NT, 8)

    @torch.no_grad()
    def predict(self) -> Iterator[Tensor]:
        """Yield the log probabilities of every token at every position, some windows at a time."""
        for tokens_BT in self.batches():
            yield F.log_softmax(self.model(tokens_BT).float(), dim=-1)

    def sequences(self, recipe: CalibrationRecipe) -> list[Tensor]:
        """Return training sequences, as an export draws them."""
        tokens = recipe.tokens or self.recipe.schedule.sequence_tokens
        return list(random_sequences(self.stream, recipe.sequences, tokens, self.job.seed, self.device))

    def calibrate(self, quantizer: QuantizerRecipe) -> Calibration:
        return calibrate(quantizer, self.tensors, self.model, self.sequences, lambda: None)

    def facts(self) -> dict[str, Any]:
        """Return what all measurements of the run share."""
        return {
            "run": self.job.run["name"],
            "experiment": experiment_of(self.job),
            "tokens": tokens_of(self.job),
            "seed": self.job.seed,
            "width": self.recipe.model.width,
            "weights": sum(tensor.size for tensor in self.tensors),
            "targets": self.text.targets_NT.numel(),
        }

    def damage(self, weights: dict[str, Tensor]) -> dict[str, Any]:
        """Return divergence and loss of other weights, in millibits a byte, against the float weights."""
        self.model.load_state_dict(weights)
        divergence, differences = 0.0, []
        for log_shares, targets_BT, kept, nats in zip(
            self.predict(), self.target_batches(), self.log_shares, torch.split(self.nats, 8), strict=True
        ):
            divergence += float((kept.exp() * (kept - log_shares)).sum())
            differences.append((nats_of(log_shares, targets_BT) - nats).mean(dim=1))
        self.model.load_state_dict(self.weights)
        unit = 1000 / log(2) / self.text.bytes_per_target
        return {
            "divergence": unit * divergence / self.text.targets_NT.numel(),
            "windows": [round(unit * float(value), 4) for value in torch.cat(differences)],
        }


def experiment_of(job: TrainingJob) -> str:
    """Return the name and the hash of what was trained."""
    return job.files.root.parent.name


def tokens_of(job: TrainingJob) -> int:
    """Return the tokens that a run has trained on."""
    return int(json.loads(job.files.metrics.read_text().splitlines()[-1])["tokens"])


def nats_of(log_shares_BTV: Tensor, targets_BT: Tensor) -> Tensor:
    """Return the loss of each target. Shapes: (B, T, V), (B, T) -> (B, T)."""
    return -log_shares_BTV.gather(-1, targets_BT[:, :, None])[:, :, 0]


def held_out_text(job: TrainingJob, targets: int, device: torch.device) -> HeldOutText:
    """Return windows of the training length, spread evenly over the validation text."""
    text, length = read_validation(job.data, job.recipe.vocabulary_size), job.recipe.schedule.sequence_tokens
    count = min(targets, len(text.tokens) - 1) // length
    starts = np.linspace(0, len(text.tokens) - 1 - length, count).astype(int)
    windows = np.stack([text.tokens[at : at + length + 1].astype(np.int64) for at in starts])
    windows_NT = torch.from_numpy(windows).to(device)
    size = sum(int(text.byte_counts[at : at + length].sum()) for at in starts)
    return HeldOutText(windows_NT[:, :-1], windows_NT[:, 1:], size / (count * length))


def program_of(recipe: Recipe, quantizer: QuantizerRecipe) -> bytes:
    """Return the train_gpt.py of a recipe with another quantizer."""
    spec = load_spec("quickstart", [], []).spec.with_recipe(replace(recipe, quantizer=quantizer, codec=CODEC))
    return bundle_of(spec, load_ruleset(spec.ruleset)).packed


def measure(subject: Subject, name: str, scales: Iterable[float]) -> Iterator[dict[str, Any]]:
    """Yield the measurement of one quantizer at each rate."""
    quantizer: QuantizerRecipe = decode_value(QuantizerRecipe, VARIANTS[name], name)
    assert isinstance(quantizer, Rtn | Gptq)
    began = perf_counter()
    measured = subject.calibrate(quantizer)
    calibrated = perf_counter()
    code_bytes = len(program_of(subject.recipe, quantizer))
    for scale in scales:
        scaled, start = scale_clips(quantizer, scale), perf_counter()
        model = quantize_model(scaled, subject.tensors, subject.weights, measured)
        quantized = perf_counter()
        recipe = subject.recipe
        card = ModelCard(
            model=recipe.model, vocabulary_size=recipe.vocabulary_size, quantizer=scaled, evaluation=recipe.evaluation
        )
        size = encoded_bytes(card, model, CODEC) + code_bytes
        seconds = {"calibrate": calibrated - began, "quantize": quantized - start, "encode": perf_counter() - quantized}
        yield subject.facts() | {
            "variant": name,
            "scale": scale,
            "bytes": size,
            "seconds": {phase: round(value, 2) for phase, value in seconds.items()},
            **subject.damage(model.dequantize()),
        }


def bound(subject: Subject) -> Iterator[dict[str, Any]]:
    """Yield the divergence that no quantizer of Gaussian weights can go below, at some bytes (reverse water-filling).

    Costs are those that `steps: fisher` measures, so the bound is as good as these predict the divergence. The bytes
    are those of an ideal code, and of all else that an artifact with trellis codes has.
    """
    steps = FisherSteps(kind="fisher", column=1.0)
    quantizer: QuantizerRecipe = decode_value(QuantizerRecipe, GPTQ, "gptq")
    quantizer = replace(quantizer, steps=steps)
    measured = subject.calibrate(quantizer)
    chosen = {name: subject.weights[name] for name in measured.costs}
    in_columns = {name: w_RC.cpu() for name, w_RC in divided_by_columns(chosen, measured.columns).items()}
    worths = []
    for name, rows in FisherGrids(quantizer, steps, chosen, measured).rows.items():
        square_C = in_columns[name].double().square().mean(dim=0)
        variance_RC = rows.deviation_R[:, None] ** 2 * square_C / square_C.mean().clamp_min(1e-30)
        worths.append((12 * rows.cost_R[:, None] / rows.columns * variance_RC).flatten())
    worth_N = torch.cat(worths).clamp_min(1e-30)
    floats = sum(tensor.size for tensor in subject.tensors if tensor.name not in chosen)
    rest = 2 * floats + len(
        program_of(subject.recipe, decode_value(QuantizerRecipe, VARIANTS["trellis 8, fisher"], ""))
    )
    unit = 1000 / log(2) / subject.text.bytes_per_target
    for level in torch.logspace(-6, 0, 25, dtype=torch.float64) * worth_N.mean():
        size = rest + float((worth_N / level).clamp_min(1).log2().sum()) / 2 / 8
        yield subject.facts() | {
            "variant": "bound",
            "scale": float(level),
            "bytes": round(size),
            "divergence": unit * float(worth_N.minimum(level).sum()),
            "windows": [],
        }


def keep(line: dict[str, Any], file: Path) -> None:
    """Append a measurement to a file as one line of JSON, and print it."""
    with file.open("a") as out:
        out.write(json.dumps(line) + "\n")
    print(
        f"{line['run']} {line['seed']} {line['variant']} x{line['scale']:g}: {line['bytes']:,} bytes, divergence "
        f"{line['divergence']:.3f}, loss {np.mean(line['windows'] or [0]):+.3f} millibits a byte",
        flush=True,
    )


def main() -> None:
    """Measure all runs, and append each measurement to the output file as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="run directories that have checkpoints/prequant.ckpt")
    parser.add_argument("--out", type=Path, required=True, help="file to which measurements are appended")
    parser.add_argument("--variants", default=";".join(VARIANTS), help="names of quantizers, separated by ;")
    parser.add_argument("--rates", default=",".join(map(str, RATES)), help="factors on all clips")
    parser.add_argument("--targets", type=int, default=TARGETS, help="validation tokens to predict")
    arguments = parser.parse_args()
    lines = arguments.out.read_text().splitlines() if arguments.out.exists() else []
    known = {(line["experiment"], line["seed"], line["variant"], line["scale"]) for line in map(json.loads, lines)}
    bounded = {(experiment, seed) for experiment, seed, variant, _ in known if variant == "bound"}
    if unknown := set(arguments.variants.split(";")) - {*VARIANTS, "bound"}:
        parser.error(f"unknown variants {sorted(unknown)}; known are {', '.join([*VARIANTS, 'bound'])}")
    scales = [float(rate) for rate in arguments.rates.split(",")]
    for root in arguments.runs:
        job = read_job(root)
        wanted = {
            name: missing
            for name in arguments.variants.split(";")
            if (missing := [s for s in scales if (experiment_of(job), job.seed, name, s) not in known])
            and (name != "bound" or (experiment_of(job), job.seed) not in bounded)
        }
        subject = Subject(job, arguments.targets) if wanted else None
        for name, missing in wanted.items():
            assert subject is not None
            for line in bound(subject) if name == "bound" else measure(subject, name, missing):
                keep(line, arguments.out)


if __name__ == "__main__":
    main()
