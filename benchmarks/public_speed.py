"""The three numbers of pgolf/preflight/throughput.py, fitted to what public runs took.

    python -m benchmarks.public_speed

prints them, and for each run the steps that follow from them: from a fit of all, and from one without it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from pgolf.preflight.throughput import work_of
from pgolf.specs.loading import load_spec
from trainer.recipe.plan import progress_of_change
from trainer.recipe.recipe import Recipe
from trainer.recipe.work import PASSES_A_STEP

TABLE = Path(__file__).parent / "public_speed.yaml"


@dataclass(frozen=True)
class PublicRun:
    """What a public run took."""

    name: str
    recipe: Recipe
    steps: int
    seconds: float
    gpu: str
    gpus: int
    folder: str | None
    mib: int | None


def read_runs() -> list[PublicRun]:
    """The runs of the table."""
    return [read_run(row) for row in yaml.safe_load(TABLE.read_text())["runs"]]


def read_run(row: dict[str, Any]) -> PublicRun:
    """A row of the table, its shape as a recipe whose budget is in seconds."""
    loaded = load_spec(row["like"]).spec.recipe.data
    size = row.get("vocabulary") or getattr(loaded, "vocabulary_size", None) or 1024
    changes = [f"recipe.data.vocabulary_size={size}", "recipe.schedule.clock=seconds"]
    changes.append(f"recipe.budget={{clock: seconds, train: {row['seconds']}}}")
    if "mlp" in row:
        changes.append(f"recipe.model.mlp.ratio={float(row['mlp'])}")
    if "loops" in row:
        first, last, loops, progress = row["loops"]
        again = f"{{first: {first}, last: {last}, loops: {loops}, from_progress: {progress}}}"
        changes.append(f"recipe.model.topology.recurrence={again}")
    recipe = load_spec(row["like"], [], changes).spec.recipe
    gpu = row.get("gpu", "H100")
    gpus = 8 if gpu == "H100" else 1
    return PublicRun(
        f"#{row['pr']}", recipe, row["steps"], row["seconds"], gpu, gpus, row.get("folder"), row.get("mib")
    )


def step_times(run: PublicRun, numbers: NDArray[np.float64]) -> float:
    """Steps that a run would have made: `numbers` are fixed seconds, and seconds a flop of both kinds."""
    change = progress_of_change(run.recipe.model)
    shares = [(1.0, 1.0)] if change is None else [(0.0, change), (1.0, 1 - change)]
    steps, tokens = 0.0, PASSES_A_STEP * run.recipe.schedule.batch_tokens / run.gpus
    for progress, share in shares:
        work = work_of(run.recipe, progress)
        second = numbers @ np.array([1.0, tokens * work.matmul_flops, tokens * work.attention_flops])
        steps += share * run.seconds / second
    return steps


def fit(runs: Sequence[PublicRun]) -> NDArray[np.float64]:
    """The numbers whose steps differ least from the real ones, in squares of logarithms."""
    from scipy.optimize import least_squares

    def errors(logarithms: NDArray[np.float64]) -> list[float]:
        return [float(np.log(step_times(run, np.exp(logarithms)) / run.steps)) for run in runs]

    return np.exp(least_squares(errors, np.log([2e-2, 4e-15, 1e-15])).x)


def main() -> None:
    runs = [run for run in read_runs() if run.gpu == "H100"]
    numbers = fit(runs)
    print(f"fixed {numbers[0]:.4f} s, {numbers[1]:.3e} s a matmul flop, {numbers[2]:.2e} s an attention flop")
    print("| run | steps | fitted | error | without it |\n| --- | --- | --- | --- | --- |")
    for run in runs:
        fitted, alone = step_times(run, numbers), step_times(run, fit([other for other in runs if other is not run]))
        errors = (f"{100 * (steps / run.steps - 1):+.1f} %" for steps in (fitted, alone))
        print(f"| {run.name} | {run.steps:,} | {fitted:,.0f} | {' | '.join(errors)} |")


if __name__ == "__main__":
    main()
