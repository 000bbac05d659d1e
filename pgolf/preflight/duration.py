"""Seconds, from finished runs where there are any, else from a stated basis."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from pgolf.rundir import find_runs, read_or_empty
from trainer.recipe.evaluation import Chunked, DocumentLora, ScoreFirstTtt, plain_protocol
from trainer.recipe.inventory import inventory
from trainer.recipe.plan import execution_plan
from trainer.recipe.recipe import Recipe

# Sustained training speed assumed where nothing was measured. Units: flop/s.
ASSUMED_CPU_FLOPS_A_CORE = 4.0e10
ASSUMED_GPU_FLOPS = {"H100": 2.2e14, "H200": 2.2e14, "A100": 1.2e14, "L40S": 8.0e13}
UNKNOWN_GPU_FLOPS = 5.0e13
# A step on a token costs so many forward passes.
BACKWARD_PASSES = 3
TRAIN_FLOPS_A_WEIGHT, FORWARD_FLOPS_A_WEIGHT = 6, 2


@dataclass(frozen=True, slots=True)
class DurationEstimate:
    """Seconds of a run."""

    train_seconds: float | None
    evaluate_seconds: float | None
    basis: str
    is_measured: bool = False
    """Whether training seconds come from steps on such a machine, and are not assumed."""

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
    """Training and evaluation seconds: measured steps, else finished runs of this spec, else assumed flop/s."""
    speed, hardware = assumed_speed(gpu, cores)
    weights = executed_weights(recipe)
    finished = finished_clocks(runs_dir, spec_sha256, gpu, processes)
    evaluate_seconds = None
    if finished:
        evaluate_seconds = median(clock["evaluate_seconds"] for clock in finished)
    elif validation_tokens is not None:
        evaluate_seconds = (
            validation_tokens * passes_a_token(recipe, processes) * FORWARD_FLOPS_A_WEIGHT * weights / speed
        )
    if recipe.budget.clock == "seconds":
        return DurationEstimate(recipe.budget.train, evaluate_seconds, "the budget is in seconds")
    steps = recipe.planned_steps or 0
    if step_seconds is not None:
        return DurationEstimate(
            steps * step_seconds, evaluate_seconds, f"measured {1000 * step_seconds:.0f} ms a step", True
        )
    if finished:
        train_seconds = median(clock["train_seconds"] for clock in finished)
        return DurationEstimate(train_seconds, evaluate_seconds, f"{len(finished)} finished runs of this spec", True)
    train_seconds = steps * recipe.schedule.batch_tokens * TRAIN_FLOPS_A_WEIGHT * weights / speed
    return DurationEstimate(train_seconds, evaluate_seconds, f"assumed {speed:.1e} flop/s on {hardware}, not measured")


def executed_weights(recipe: Recipe) -> int:
    """Weights that a token is multiplied by: those of a block once for each of its executions."""
    visits = Counter(execution.block for execution in execution_plan(recipe.model))
    return sum(
        tensor.size * visits.get(".".join(tensor.name.split(".")[:2]), 1)
        for tensor in inventory(recipe.model, recipe.vocabulary_size)
    )


def passes_a_token(recipe: Recipe, processes: int) -> float:
    """How often the protocol runs each validation token through the model, on all processes together.

    Windows are shared among them; what a model learns from, each of them goes through by itself.
    """
    evaluation = recipe.evaluation
    plain = plain_protocol(evaluation)
    passes = 1.0 if isinstance(plain, Chunked) else plain.window / plain.stride
    match evaluation:
        case ScoreFirstTtt():
            return passes + BACKWARD_PASSES * evaluation.epochs * processes
        case DocumentLora():
            return (1 + BACKWARD_PASSES) * passes * processes
        case _:
            return passes


def assumed_speed(gpu: str | None, cores: int) -> tuple[float, str]:
    """Sustained flop/s of a machine, and its name."""
    if gpu is None:
        return cores * ASSUMED_CPU_FLOPS_A_CORE, f"{cores} CPU cores"
    kind, _, number = gpu.partition(":")
    return ASSUMED_GPU_FLOPS.get(kind.rstrip("!"), UNKNOWN_GPU_FLOPS) * int(number or 1), gpu


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
