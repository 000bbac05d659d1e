"""Predicted training and evaluation time: from finished runs if there are any, else from a stated basis."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, exp
from pathlib import Path
from statistics import median

from pgolf.findings import counted
from pgolf.preflight.throughput import (
    LEARNING_SLOWDOWN,
    LEARNING_STEP_SECONDS,
    WEB_DOCUMENT_TOKENS,
    Gpus,
    forward_seconds,
    mean_step_seconds,
    work_of,
)
from pgolf.rundir import usable_results
from trainer.recipe.evaluation import Chunked, DocumentLora, ScoreFirstTtt, plain_protocol
from trainer.recipe.recipe import Recipe
from trainer.recipe.token_work import PASSES_PER_STEP

# Assumed training speed of a CPU core if nothing was measured. Units: flop/s.
ASSUMED_CPU_FLOPS_PER_CORE = 4.0e10
# Time of a pass with adapters relative to one of plain windows of the same tokens, and of a step of adapters relative
# to one of all weights, whose gradients processes exchange. Chosen by two logs, #1729 with 64 documents in a batch and
# #2014 with 24: evaluations of 489 and 493 s are predicted within 12 % (docs/log/2026-11-30.md).
ADAPTER_SLOWDOWN = 2.35
ADAPTER_STEP = 0.25
# Batches of documents that can be adapted to at the same time.
MOST_BATCHES = 8
# A share of documents that counts for nothing.
NEGLIGIBLE_SHARE = 1e-6


@dataclass(frozen=True, slots=True)
class DurationEstimate:
    """Predicted seconds of a run."""

    train_seconds: float | None
    evaluate_seconds: float | None
    basis: str
    is_measured: bool = False
    """Whether the training time was measured on such a machine; otherwise it is assumed."""
    steps: int | None = None
    """Optimizer steps; if the budget is in seconds, the number that is likely to fit."""

    @property
    def total_seconds(self) -> float | None:
        """Training and evaluation time; None if the training time is not known."""
        return None if self.train_seconds is None else self.train_seconds + (self.evaluate_seconds or 0.0)


def planned_tokens(recipe: Recipe) -> float | None:
    """Return the tokens that the budget covers; None if it is in seconds."""
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
    """Return training and evaluation seconds.

    They come from measured steps, else finished runs of this spec, else public runs on GPUs, else an assumed CPU speed.
    """
    assumed = assume_speed(recipe, gpu, cores)
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
        basis = f"measured {1000 * step_seconds:.0f} ms per step"
        return DurationEstimate(steps * step_seconds, evaluate_seconds, basis, True, steps)
    if finished:
        train_seconds = median(clock["train_seconds"] for clock in finished)
        return DurationEstimate(
            train_seconds, evaluate_seconds, f"{counted(len(finished), 'finished run')} of this spec", True, steps
        )
    return DurationEstimate(steps * assumed.step_seconds, evaluate_seconds, assumed.basis, steps=steps)


@dataclass(frozen=True, slots=True)
class AssumedSpeed:
    """Speed of training and scoring that is assumed if nothing was measured here."""

    step_seconds: float
    token_seconds: float
    """Seconds per token of a forward pass on all devices together."""
    basis: str
    learning_slowdown: float = 1.0
    """Time of a matrix product during adaptation, relative to scoring."""
    learning_step_seconds: float = 0.0
    """Seconds of an adaptation step besides its matrix products."""


def assume_speed(recipe: Recipe, gpu: str | None, cores: int) -> AssumedSpeed:
    """Return the speed on GPUs, by public runs, or on CPU cores."""
    if gpu is not None:
        gpus = Gpus.asked(gpu)
        return AssumedSpeed(
            mean_step_seconds(recipe, gpus),
            forward_seconds(recipe, gpus, 1),
            gpus.basis,
            LEARNING_SLOWDOWN,
            LEARNING_STEP_SECONDS * gpus.slowdown,
        )
    speed = cores * ASSUMED_CPU_FLOPS_PER_CORE
    forward = work_of(recipe, 1.0).flops / speed
    basis = f"assumed {speed:.1e} flop/s on {counted(cores, 'CPU core')}, not measured"
    return AssumedSpeed(recipe.schedule.batch_tokens * PASSES_PER_STEP * forward, forward, basis)


def passes_per_token(recipe: Recipe, processes: int) -> tuple[float, float]:
    """Return the forward passes per validation token, summed over all processes: to score it, and to adapt to it.

    Processes share the windows, the documents, and the sequences of an adaptation step as far as there are enough. With
    one LoRA per document the pass that scores also provides the gradients.
    """
    evaluation = recipe.evaluation
    if isinstance(evaluation, DocumentLora):
        return ADAPTER_SLOWDOWN * PASSES_PER_STEP * document_passes(evaluation), 0.0
    plain = plain_protocol(evaluation)
    passes = 1.0 if isinstance(plain, Chunked) else plain.window / plain.stride
    match evaluation:
        case ScoreFirstTtt():
            places = processes * ceil(evaluation.batch_sequences / processes)
            return passes, PASSES_PER_STEP * evaluation.epochs * places / evaluation.batch_sequences
        case _:
            return passes, 0.0


def document_passes(evaluation: DocumentLora) -> float:
    """Return the tokens that pass forward for each target of documents."""
    return sum(share * min(evaluation.window, end) for share, end in document_chunks(evaluation)) / WEB_DOCUMENT_TOKENS


def document_chunks(evaluation: DocumentLora) -> Iterator[tuple[float, int]]:
    """Yield the share of documents that reach each chunk, and its end. Lengths are assumed to be exponential."""
    scored = 0
    while (share := exp(-scored / WEB_DOCUMENT_TOKENS)) > NEGLIGIBLE_SHARE:
        scored += evaluation.chunk_at(scored)
        yield share, scored


def learning_steps(recipe: Recipe, validation_tokens: int, processes: int = 1) -> int:
    """Return the number of adaptation steps; the last chunk is scored without adapting to it."""
    evaluation = recipe.evaluation
    if isinstance(evaluation, DocumentLora):
        a_target = sum(share for share, _ in document_chunks(evaluation)) / WEB_DOCUMENT_TOKENS
        return ceil(validation_tokens * a_target / evaluation.batch_documents / min(processes, MOST_BATCHES))
    if not isinstance(evaluation, ScoreFirstTtt):
        return 0
    chunks = ceil((validation_tokens - 1) / evaluation.chunk_tokens)
    sequences = evaluation.chunk_tokens // evaluation.window
    return (chunks - 1) * evaluation.epochs * ceil(sequences / evaluation.batch_sequences)


def evaluation_seconds(recipe: Recipe, validation_tokens: int, processes: int, assumed: AssumedSpeed) -> float:
    """Return the seconds of scoring and adaptation."""
    scoring, learning = passes_per_token(recipe, processes)
    passes = scoring + assumed.learning_slowdown * learning
    steps = learning_steps(recipe, validation_tokens, processes)
    share = ADAPTER_STEP if isinstance(recipe.evaluation, DocumentLora) else 1.0
    return validation_tokens * passes * assumed.token_seconds + steps * share * assumed.learning_step_seconds


def finished_clocks(runs_dir: Path, spec_sha256: str | None, gpu: str | None, processes: int) -> list[dict[str, float]]:
    """Return the clocks of finished, uninterrupted runs of a spec on the same kind and number of devices."""
    if spec_sha256 is None:
        return []
    return [
        result["clock"]
        for _, result in usable_results(runs_dir)
        if result["spec_sha256"] == spec_sha256
        and not result.get("resumed_from_step")
        and (result["environment"]["device"] == "cpu") == (gpu is None)
        and result["environment"].get("processes", 1) == processes
    ]
