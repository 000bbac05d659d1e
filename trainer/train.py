"""A run from top to bottom: train, average, quantize, encode; then another process decodes and scores.

Read this file first. Each line below is a folder of this package.
"""

import os
import subprocess
import sys
import time
from typing import Any

from trainer.codec.container import ModelCard, encode_artifact
from trainer.evaluation.validation import read_validation
from trainer.quantizer.quantizer import quantize_model
from trainer.recipe.endings import describe_end
from trainer.recipe.files import read_json, write_json
from trainer.recipe.inventory import inventory
from trainer.runtime.checkpoint import write_checkpoint
from trainer.runtime.clock import PhaseClock
from trainer.runtime.device import check_same_environment, describe_environment
from trainer.runtime.failure import RunFailure, Stopped
from trainer.runtime.job import TrainingJob
from trainer.runtime.journal import journal_of
from trainer.runtime.stop import StopRequest
from trainer.runtime.world import World
from trainer.training import Training

POLL_SECONDS = 0.1


def run_job(job: TrainingJob, stop: StopRequest, world: World) -> None:
    """Nothing; result.json is written. Processes that share the run train, and the chief goes on alone.

    Raises: RunFailure saying what went wrong, Stopped when asked to stop.
    """
    recipe, files = job.recipe, job.files
    journal = journal_of(files, world.is_chief)
    journal.report(phase="prepare", error=None)
    clock = PhaseClock()
    with clock.phase("prepare"):
        environment = pin_environment(job, world)
        read_validation(job.data, recipe.vocabulary_size)  # what cannot be scored is refused before it costs training
        training = Training(job, world, journal, clock)
        training.resume()

    training.run(stop)
    if not world.is_chief:
        return

    weights = training.average.candidate()
    write_checkpoint(files.prequant, {name: weight.cpu() for name, weight in weights.items()})
    journal.report(phase="quantize")
    with clock.phase("quantize"):
        tensors = inventory(recipe.model, recipe.vocabulary_size)
        quantized = quantize_model(recipe.quantizer, tensors, weights)
    stop.check()

    journal.report(phase="encode")
    card = ModelCard(
        model=recipe.model,
        vocabulary_size=recipe.vocabulary_size,
        quantizer=recipe.quantizer,
        evaluation=recipe.evaluation,
    )
    files.artifact.mkdir(exist_ok=True)
    with clock.phase("encode"):
        streams = encode_artifact(files.model, card, quantized, recipe.codec)
    artifact = count_bytes(job, streams)

    score_elsewhere(job, stop, world.size)
    write_result(job, training, environment, artifact)
    journal.report(phase="finished")


def pin_environment(job: TrainingJob, world: World) -> dict[str, Any]:
    """The environment of this run, as it stands in run.json from its first attempt on.

    Raises: ResumeRefused when it began in another one.
    """
    environment = describe_environment(world.device, world.size)
    check_same_environment(environment, job.run.get("environment"))
    if world.is_chief:
        write_json(job.files.run, job.run | {"environment": environment})
    return environment


def count_bytes(job: TrainingJob, streams: dict[str, int]) -> dict[str, int]:
    """Model, code and total bytes, beside the limit; with the streams they also stand in bytes.json."""
    model_bytes, code_bytes = job.files.model.stat().st_size, job.run["code_bytes"]
    assert sum(streams.values()) == model_bytes, f"streams {streams} do not add up to {model_bytes}"
    artifact = {"model_bytes": model_bytes, "code_bytes": code_bytes, "total_bytes": model_bytes + code_bytes}
    artifact["limit_bytes"] = job.run["limit_bytes"]
    write_json(job.files.bytes, artifact | {"streams": streams, "code_basis": job.run["code_basis"]})
    return artifact


def score_elsewhere(job: TrainingJob, stop: StopRequest, processes: int) -> None:
    """Nothing; a process that has not trained has decoded and scored the artifact.

    That process holds the end of a pipe whose other end is here, and so it does not outlive this one.
    Raises: RunFailure with the exit code of that process if it failed.
    """
    receiver, sender = os.pipe()
    command = [sys.executable, "-P", "-m", "trainer", str(job.files.root), "--score"]
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
            read_json(job.files.state).get("error") or f"scoring was {describe_end(scoring.returncode)}"
        )
        failure.exit_code = max(1, scoring.returncode)
        raise failure


def write_result(job: TrainingJob, training: Training, environment: dict[str, Any], artifact: dict[str, int]) -> None:
    """Nothing; result.json is there, once and for all."""
    scores = read_json(job.files.scores)
    seconds = training.clock.finished | scores["seconds"]
    headline = {key: scores["headline"][key] for key in ("stage", "protocol", "val_bpb", "val_loss")}
    identity = {key: job.run[key] for key in ("run_id", "name", "seed", "spec_sha256", "code_sha256", "data_sha256")}
    write_json(
        job.files.result,
        identity
        | {
            "ruleset": job.run["ruleset"],
            "deterministic": job.recipe.budget.clock != "seconds" and training.world.device.type == "cpu",
            "metrics": scores["metrics"],
            "headline": headline,
            "artifact": artifact,
            "clock": {f"{phase}_seconds": round(value, 3) for phase, value in seconds.items()},
            "parameters": sum(parameter.numel() for parameter in training.parameters.values()),
            "steps": training.step,
            "tokens_seen": training.tokens_seen,
            "epochs": training.tokens_seen / len(training.stream),
            "resumed_from_step": training.resumed_from_step,
            "environment": environment,
        },
    )
