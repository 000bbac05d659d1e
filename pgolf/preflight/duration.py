"""Seconds, from finished runs where there are any, else from a stated basis."""

from dataclasses import dataclass
from math import ceil
from pathlib import Path
from statistics import median

from pgolf.preflight.throughput import (
    LEARNING_STEP_SECONDS,
    LEARNING_TIMES_AS_LONG,
    forward_seconds,
    mean_step_seconds,
    parse_gpus,
    work_of,
)
from pgolf.rundir import find_runs, read_or_empty
from trainer.recipe.evaluation import Chunked, DocumentLora, ScoreFirstTtt, plain_protocol
from trainer.recipe.recipe import Recipe
from trainer.recipe.token_work import PASSES_PER_STEP

# Sustained training speed assumed where nothing was measured. Units: flop/s.
ASSUMED_CPU_FLOPS_A_CORE = 4.0e10


@dataclass(frozen=True, slots=True)
class DurationEstimate:
    """Seconds of a run."""

    train_seconds: float | None
    evaluate_seconds: float | None
    basis: str
    is_measured: bool = False
    """Whether training seconds come from steps on such a machine, and are not assumed."""
    steps: int | None = None
    """Optimizer steps; under a budget of seconds, how many are likely to fit."""

    @property
    def total_seconds(self) -> float | None:
        """Both together, where the training is known."""
        return None if self.train_seconds is None else self.train_seconds + (self.evaluate_seconds or 0.0)


def planned_tokens(recipe: Recipe) -> float | None:
    """Tokens that the budget pays for, or None under a clock of seconds."""
    steps = recipe.planned_steps
    return None if steps is None else steps * recipe.schedule.batch_tokens


def estimate_duration(
    recipe: Recipe,
    *,
    runs_dir: Path,
    spec_sha256: str | None,
    gpu: str | None,
    processes: int,
    cores: int,
    validation_tokens: int | None,
    step_seconds: float | None,
) -> DurationEstimate:
    """Training and evaluation seconds: measured steps, else finished runs of this spec, else what public runs took on
    GPUs, else assumed flop/s.
    """
    assumed = assumption(recipe, gpu, cores)
    finished = finished_clocks(runs_dir, spec_sha256, gpu, processes)
    evaluate_seconds = None
    if finished:
        evaluate_seconds = median(clock["evaluate_seconds"] for clock in finished)
    elif validation_tokens is not None:
        evaluate_seconds = evaluation_seconds(recipe, validation_tokens, processes, assumed)
    if recipe.budget.clock == "seconds":
        seconds = step_seconds or assumed.step_seconds
        basis = f"the budget is in seconds; steps: {'measured' if step_seconds else assumed.basis}"
        steps = int((recipe.budget.train - recipe.budget.reserve_seconds) / seconds)
        return DurationEstimate(recipe.budget.train, evaluate_seconds, basis, steps=steps)
    steps = recipe.planned_steps or 0
    if step_seconds is not None:
        basis = f"measured {1000 * step_seconds:.0f} ms a step"
        return DurationEstimate(steps * step_seconds, evaluate_seconds, basis, True, steps)
    if finished:
        train_seconds = median(clock["train_seconds"] for clock in finished)
        return DurationEstimate(
            train_seconds, evaluate_seconds, f"{len(finished)} finished runs of this spec", True, steps
        )
    return DurationEstimate(steps * assumed.step_seconds, evaluate_seconds, assumed.basis, steps=steps)


@dataclass(frozen=True, slots=True)
class Assumption:
    """Seconds where nothing was measured here."""

    step_seconds: float
    token_seconds: float
    """Of a forward pass, on all devices together."""
    basis: str
    learning_times_as_long: float = 1.0
    """Products of adaptation against those of scoring."""
    learning_step_seconds: float = 0.0
    """Of a step of adaptation, beside its products."""


def assumption(recipe: Recipe, gpu: str | None, cores: int) -> Assumption:
    """What a step and a scored token take on GPUs, as public runs took them, or on a CPU."""
    if gpu is not None:
        gpus = parse_gpus(gpu)
        return Assumption(
            mean_step_seconds(recipe, gpus),
            forward_seconds(recipe, gpus, 1),
            gpus.basis,
            LEARNING_TIMES_AS_LONG,
            LEARNING_STEP_SECONDS * gpus.times_as_long,
        )
    speed = cores * ASSUMED_CPU_FLOPS_A_CORE
    forward = work_of(recipe, 1.0).flops / speed
    basis = f"assumed {speed:.1e} flop/s on {cores} CPU cores, not measured"
    return Assumption(recipe.schedule.batch_tokens * PASSES_PER_STEP * forward, forward, basis)


def passes_a_token(recipe: Recipe, processes: int) -> tuple[float, float]:
    """How often the protocol runs each validation token through the model on all processes together, to score it and to
    learn from it.

    Windows are shared among them, and the sequences of a step of adaptation as far as there are enough; documents with
    additions of their own, each of them goes through by itself, and learns from the pass that scores.
    """
    evaluation = recipe.evaluation
    plain = plain_protocol(evaluation)
    passes = 1.0 if isinstance(plain, Chunked) else plain.window / plain.stride
    match evaluation:
        case ScoreFirstTtt():
            places = processes * ceil(evaluation.batch_sequences / processes)
            return passes, PASSES_PER_STEP * evaluation.epochs * places / evaluation.batch_sequences
        case DocumentLora():
            return PASSES_PER_STEP * passes * processes, 0.0
        case _:
            return passes, 0.0


def learning_steps(recipe: Recipe, validation_tokens: int) -> int:
    """Steps of adaptation: all chunks but the last are learned from."""
    evaluation = recipe.evaluation
    if not isinstance(evaluation, ScoreFirstTtt):
        return 0
    chunks = ceil((validation_tokens - 1) / evaluation.chunk_tokens)
    sequences = evaluation.chunk_tokens // evaluation.window
    return (chunks - 1) * evaluation.epochs * ceil(sequences / evaluation.batch_sequences)


def evaluation_seconds(recipe: Recipe, validation_tokens: int, processes: int, assumed: Assumption) -> float:
    """Seconds of the protocol, products and steps of adaptation."""
    scoring, learning = passes_a_token(recipe, processes)
    passes = scoring + assumed.learning_times_as_long * learning
    steps = learning_steps(recipe, validation_tokens)
    return validation_tokens * passes * assumed.token_seconds + steps * assumed.learning_step_seconds


def finished_clocks(runs_dir: Path, spec_sha256: str | None, gpu: str | None, processes: int) -> list[dict[str, float]]:
    """The clocks of finished, uninterrupted runs of a spec here, on the same kind and number of devices."""
    if spec_sha256 is None:
        return []
    results = (read_or_empty(run.files.result) for run in find_runs(runs_dir))
    return [
        result["clock"]
        for result in results
        if result.get("spec_sha256") == spec_sha256
        and not result["resumed_from_step"]
        and (result["environment"]["device"] == "cpu") == (gpu is None)
        and result["environment"].get("processes", 1) == processes
    ]
