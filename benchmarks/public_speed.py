"""Fit of the three constants of pgolf/preflight/throughput.py to the speed of public runs.

    python -m benchmarks.public_speed

prints the constants and, for each run, the steps that they predict: from a fit of all runs, and from a fit without
that run. Then it prints the measured and the predicted seconds of public evaluations.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from pgolf.preflight.throughput import Gpus, forward_seconds, work_of
from pgolf.specs.loading import load_spec
from trainer.recipe.evaluation import Sliding
from trainer.recipe.plan import plan_change_progress
from trainer.recipe.recipe import Recipe
from trainer.recipe.token_work import PASSES_PER_STEP

TABLE = Path(__file__).parent / "public_speed.yaml"
WINDOW = 2048


@dataclass(frozen=True)
class PublicRun:
    """A public run: its shape as a recipe, its steps and its seconds."""

    name: str
    recipe: Recipe
    steps: int
    seconds: float
    gpu: str
    gpus: int
    folder: str | None
    mib: int | None


def read_runs() -> list[PublicRun]:
    """Return the runs of the table."""
    return [read_run(row) for row in yaml.safe_load(TABLE.read_text())["runs"]]


def read_run(row: dict[str, Any]) -> PublicRun:
    """Return a row of the table as a run whose recipe has a budget in seconds."""
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
    """Return the predicted steps of a run; `numbers` are fixed seconds, seconds a matmul flop and an attention flop."""
    change = plan_change_progress(run.recipe.model)
    shares = [(1.0, 1.0)] if change is None else [(0.0, change), (1.0, 1 - change)]
    steps, tokens = 0.0, PASSES_PER_STEP * run.recipe.schedule.batch_tokens / run.gpus
    for progress, share in shares:
        work = work_of(run.recipe, progress)
        second = numbers @ np.array([1.0, tokens * work.matmul_flops, tokens * work.attention_flops])
        steps += share * run.seconds / second
    return steps


def fit(runs: Sequence[PublicRun]) -> NDArray[np.float64]:
    """Return the numbers with the least squared error in the logarithm of the steps."""
    from scipy.optimize import least_squares

    def errors(logarithms: NDArray[np.float64]) -> list[float]:
        return [float(np.log(step_times(run, np.exp(logarithms)) / run.steps)) for run in runs]

    return np.exp(least_squares(errors, np.log([2e-2, 4e-15, 1e-15])).x)


@dataclass(frozen=True)
class PublicEvaluation:
    """Measured seconds of a public run's evaluation, and the predicted seconds of its parts."""

    name: str
    sliding: float | None
    adapting: float | None
    predicted_sliding: float
    products: float
    """Seconds of the matmuls of adaptation if they were as fast as those of scoring."""
    steps: int

    def predict(self, times_as_long: float, step_seconds: float) -> float:
        """Return the seconds with adaptation, based on the measured seconds of plain windows if the log has them."""
        return (self.sliding or self.predicted_sliding) + times_as_long * self.products + step_seconds * self.steps


def read_evaluations(runs: dict[str, PublicRun]) -> list[PublicEvaluation]:
    """Return the evaluations of the table."""
    found = []
    for row in yaml.safe_load(TABLE.read_text())["evaluations"]:
        run, window = runs[f"#{row['pr']}"], row.get("window", WINDOW)
        recipe = replace(run.recipe, evaluation=Sliding(kind="sliding", window=window, stride=row["stride"]))
        steps, gpus = row.get("steps", 0), Gpus(run.gpu, run.gpus)
        sliding = forward_seconds(recipe, gpus, row["tokens"] * window / row["stride"])
        products = PASSES_PER_STEP * forward_seconds(recipe, gpus, steps * row.get("learned", 0))
        name = f"{run.name}, stride {row['stride']}"
        found.append(PublicEvaluation(name, row.get("sliding"), row.get("adapting"), sliding, products, steps))
    return found


def print_evaluations(evaluations: list[PublicEvaluation]) -> None:
    """Fit the two constants of adaptation and print them, then a line for each evaluation."""
    from scipy.optimize import least_squares

    adapting = [evaluation for evaluation in evaluations if evaluation.adapting]

    def errors(logarithms: NDArray[np.float64]) -> list[float]:
        return [float(np.log(each.predict(*np.exp(logarithms)) / (each.adapting or 1.0))) for each in adapting]

    times_as_long, step_seconds = np.exp(least_squares(errors, np.log([3.0, 0.05])).x)
    print(f"\nadaptation: matmuls {times_as_long:.2f} times as long, plus {step_seconds:.4f} s a step")
    print("| run | sliding s | predicted | with adaptation s | fitted | error |\n|" + " --- |" * 6)
    for each in evaluations:
        cells = [each.name, str(each.sliding or ""), f"{each.predicted_sliding:.1f}", "", "", ""]
        if each.adapting:
            fitted = each.predict(times_as_long, step_seconds)
            cells[3:] = [str(each.adapting), f"{fitted:.1f}", f"{100 * (fitted / each.adapting - 1):+.1f} %"]
        print(f"| {' | '.join(cells)} |")


def main() -> None:
    runs = [run for run in read_runs() if run.gpu == "H100"]
    numbers = fit(runs)
    print(f"fixed {numbers[0]:.4f} s, {numbers[1]:.3e} s a matmul flop, {numbers[2]:.2e} s an attention flop")
    print("| run | steps | fitted | error | error when left out |\n| --- | --- | --- | --- | --- |")
    for run in runs:
        fitted, alone = step_times(run, numbers), step_times(run, fit([other for other in runs if other is not run]))
        errors = (f"{100 * (steps / run.steps - 1):+.1f} %" for steps in (fitted, alone))
        print(f"| {run.name} | {run.steps:,} | {fitted:,.0f} | {' | '.join(errors)} |")
    print_evaluations(read_evaluations({run.name: run for run in runs}))


if __name__ == "__main__":
    main()
