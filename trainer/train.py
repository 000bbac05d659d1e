"""A run from top to bottom: train, average, quantize, encode; then another process decodes and scores.

Read this file first. `training.py` is the loop; averaging, quantizer, codec and evaluation are folders.
"""

import os
import subprocess
import time
from typing import Any

import torch

from trainer.averaging.choice import choose_candidate
from trainer.data.sampling import random_sequences
from trainer.evaluation.validation import read_validation
from trainer.export import Exporter
from trainer.model.attention_kernels import resolve_kernel
from trainer.recipe.averaging import Candidates
from trainer.recipe.exit_codes import describe_exit
from trainer.recipe.reading import read_json
from trainer.recipe.recipe import Recipe
from trainer.recipe.writing import write_json
from trainer.resumable import ResumableTraining
from trainer.resume import (
    check_same_environment,
    environments_since,
    load_parent_weights,
    report_overruled_threads,
    resume_training,
)
from trainer.runtime.checkpoint import write_checkpoint
from trainer.runtime.clock import PhaseClock
from trainer.runtime.device import describe_environment, describe_hardware
from trainer.runtime.failure import RunFailure, Stopped
from trainer.runtime.job import TrainingJob
from trainer.runtime.journal import Journal, make_journal
from trainer.runtime.program import own_command
from trainer.runtime.stop import StopRequest
from trainer.runtime.world import World
from trainer.training import Training

POLL_SECONDS = 0.1


def run_job(job: TrainingJob, stop: StopRequest, world: World) -> None:
    """Train, average, quantize, encode and score, and write result.json. All ranks train; rank 0 does the rest.

    Raises:
        RunFailure: it failed; gives the reason.
        Stopped: on request.
    """
    is_repeatable = is_deterministic(job.recipe, world.device)
    journal = make_journal(job.files, world.is_rank_zero)
    journal.report(phase="prepare", error=None, reason=None)
    clock = PhaseClock()
    with clock.phase("prepare"):
        if job.recipe.compute.attention == "measured" and job.parent is None:
            from trainer.autotune import with_fastest_attention

            job = with_fastest_attention(job, world, journal)
        environment, resumed_under = pin_environment(job, world, journal)
        report_overruled_threads(job.run, journal)
        read_validation(job.data, job.recipe.vocabulary_size)  # bad validation data ends the run before it trains
        training = ResumableTraining(job, world, journal, clock, stop)
        if job.parent is None:
            resume_training(training)
        else:
            load_parent_weights(training, job.parent)

    if job.parent is None:
        training.run()
    if not world.is_rank_zero:
        return

    training.claim.check()
    training.model.follow_progress(1.0)
    if job.parent is None:
        with clock.phase("calibrate"):
            choose_weights(training, job)
    exporter = Exporter(job, training.model, training.data, clock, journal, stop.check)
    artifact = exporter.export()
    exporter.write_references()

    score_in_subprocess(job, stop, world.size)
    training.claim.check()
    write_result(job, training, environment, resumed_under, artifact, is_repeatable)
    journal.report(phase="finished")


def is_deterministic(recipe: Recipe, device: torch.device) -> bool:
    """Return whether the same job gives the same bits again: no budget in seconds, no timed kernels, no GPU."""
    is_by_clock = recipe.budget.clock == "seconds" or recipe.compute.attention == "measured"
    return not is_by_clock and device.type == "cpu"


def pin_environment(job: TrainingJob, world: World, journal: Journal) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the environment that this run began in, and those that it was resumed in; keep both in run.json.

    Raises:
        ResumeRefused: the run began in another one.
    """
    if job.recipe.compute.attention == "flash_attn":
        from trainer.model.flash_attention import require_flash_attention

        require_flash_attention(world.device.type, job.recipe.model.head_width)
    kernel = resolve_kernel(job.recipe.compute.attention, world.device.type, job.recipe.model.head_width)
    found = describe_environment(world.device, world.size, job.recipe.compute.precision, kernel)
    pinned = job.run.get("environment")
    resumed_under = environments_since(job.run, check_same_environment(found, pinned), journal)
    environment = pinned or found
    if world.is_rank_zero:
        write_json(job.files.run, job.run | {"environment": environment, "resumed_under": resumed_under})
    return environment, resumed_under


def choose_weights(training: Training, job: TrainingJob) -> None:
    """Load the best average of weights into the model, and keep it as the prequant checkpoint."""
    averaging, tokens = job.recipe.averaging, job.recipe.schedule.sequence_tokens + 1
    count = averaging.sequences if isinstance(averaging, Candidates) else 0
    text = list(random_sequences(training.data.stream, count, tokens, job.seed, training.world.device))
    losses = choose_candidate(training.model, training.average.candidates(), text)
    if len(losses) > 1:
        ranking = ", ".join(f"{name} {loss:.4f}" for name, loss in losses.items())
        training.journal.log(f"candidates by training loss: {ranking}; exporting {next(iter(losses))}")
    write_checkpoint(job.files.prequant, {n: p.detach().cpu() for n, p in training.model.named_parameters()})


def score_in_subprocess(job: TrainingJob, stop: StopRequest, processes: int) -> None:
    """Decode and score the artifact in a new process, which a pipe ends if this one dies.

    Raises:
        RunFailure: it failed; has the exit code of that process.
        Stopped: on request.
    """
    receiver, sender = os.pipe()
    command = [*own_command(), str(job.files.root), "--score"]
    command += ["--processes", str(processes), "--lifeline", str(receiver)]
    with subprocess.Popen(command, pass_fds=(receiver,)) as scoring:
        os.close(receiver)
        while scoring.poll() is None:
            if stop.requested:
                scoring.kill()
            time.sleep(POLL_SECONDS)
    os.close(sender)
    stop.check()
    if scoring.returncode == Stopped.exit_code:
        raise Stopped("stopped while scoring; the same command resumes")
    if scoring.returncode:
        failure = RunFailure(
            read_json(job.files.state).get("error") or f"scoring failed: {describe_exit(scoring.returncode)}"
        )
        failure.exit_code = max(1, scoring.returncode)
        raise failure


def write_result(
    job: TrainingJob,
    training: ResumableTraining,
    environment: dict[str, Any],
    resumed_under: list[dict[str, Any]],
    artifact: dict[str, int],
    is_repeatable: bool,
) -> None:
    """Write result.json, which marks the run as finished."""
    scores = read_json(job.files.scores)
    seconds = training.clock.finished | scores["seconds"]
    headline = {key: scores["headline"][key] for key in ("stage", "protocol", "val_bpb", "val_loss")}
    identity = {key: job.run[key] for key in ("run_id", "name", "seed", "spec_sha256", "code_sha256", "data_sha256")}
    write_json(
        job.files.result,
        identity
        | {
            "ruleset": job.run["ruleset"],
            "parent": job.run.get("parent"),
            "deterministic": is_repeatable,
            "metrics": scores["metrics"],
            "headline": headline,
            "artifact": artifact,
            "clock": {f"{phase}_seconds": round(value, 3) for phase, value in seconds.items()},
            "parameters": sum(parameter.numel() for parameter in training.parameters.values()),
            "steps": training.step,
            "tokens_seen": training.tokens_seen,
            "epochs": training.tokens_seen / len(training.data.stream),
            "resumed_from_step": training.resumed_from_step,
            "environment": environment,
            "resumed_under": resumed_under,
            "hardware": describe_hardware(training.world.device),
            "step_seconds": training.guard.as_json() if training.guard else None,
        },
    )
