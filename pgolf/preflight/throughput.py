"""Seconds of training and scoring on GPUs, as public scripts took them.

A step takes a fixed time, and one for each operation of its forward and backward pass. Three numbers fitted to 18
public runs on 8xH100, whose models differ threefold in operations a token, give the steps of each within 6.3 %; left
out of the fit, two of the 18 are off by more than 10 %: the smallest model and the one with the shortest sequences
(benchmarks/public_speed.py, docs/log/2026-11-22.md). The rate of attention is a regression's, above what the hardware
can do.
"""

from dataclasses import dataclass

from trainer.recipe.plan import plan_change_progress
from trainer.recipe.recipe import Recipe
from trainer.recipe.token_work import PASSES_PER_STEP, TokenWork, token_work

FIXED_SECONDS = 0.0188
# Of one H100 among eight.
SECONDS_A_MATMUL_FLOP, SECONDS_A_ATTENTION_FLOP = 3.95e-15, 3.94e-16
# How many times as long a kind of GPU takes: the RTX 6000 Ada by two public runs, the L40S as it is the same chip, the
# H200 by three shapes of this trainer (0.95 to 1.23), the A100 by what its maker says of its bfloat16 products.
TIMES_AS_LONG = {"H100": 1.0, "H200": 1.0, "A100": 3.2, "RTX-6000-Ada": 4.9, "L40S": 4.9}
UNKNOWN_TIMES_AS_LONG = 5.0
FITTED = ("H100",)
SOURCES = {
    "RTX-6000-Ada": "two public runs",
    "L40S": "two public runs",
    "H200": "three shapes of this trainer on one of them (0.95 to 1.23)",
}
# An evaluation computes forward only, in batches as large as a GPU likes: of eight public ones, six within 19 %; the
# two slow ones had a compiler's time in theirs.
SECONDS_AN_EVALUATION_FLOP = SECONDS_A_MATMUL_FLOP
# Products of a step of adaptation, which public scripts do not compile and this trainer does, as a multiple of those;
# and what else it takes. One H200 took less for the one shape that was measured there (docs/log/2026-11-26.md).
# Two numbers fitted to eight public evaluations: six within 16 %, the other two took a third longer
# (benchmarks/public_speed.py).
LEARNING_TIMES_AS_LONG, LEARNING_STEP_SECONDS = 7.3, 0.0315


@dataclass(frozen=True, slots=True)
class Gpus:
    """Devices that share a run."""

    kind: str
    number: int

    @property
    def times_as_long(self) -> float:
        return TIMES_AS_LONG.get(self.kind, UNKNOWN_TIMES_AS_LONG)

    @property
    def basis(self) -> str:
        """Where seconds on such devices come from."""
        if self.kind in FITTED:
            known = "as public scripts ran on 8xH100, 18 within 10 %, 16 of them if left out of the fit"
            return known if self.number == 8 else f"{known}; other numbers of them are not measured"
        source = SOURCES.get(self.kind, "an assumption")
        return f"as public scripts ran on 8xH100; {self.kind} {self.times_as_long:g} times as long, by {source}"


def parse_gpus(gpu: str) -> Gpus:
    """The devices that `launch.gpu` asks for: `H100!:8` are eight H100."""
    kind, _, number = gpu.partition(":")
    return Gpus(kind.rstrip("!+"), int(number or 1))


def work_of(recipe: Recipe, progress: float) -> TokenWork:
    """What a token of a recipe costs at a share of its budget."""
    return token_work(recipe.model, recipe.vocabulary_size, recipe.schedule.sequence_tokens, progress)


def step_seconds(recipe: Recipe, gpus: Gpus, progress: float = 1.0) -> float:
    """Seconds of a step at a share of the budget."""
    work, tokens = work_of(recipe, progress), recipe.schedule.batch_tokens / gpus.number
    per_token = work.matmul_flops * SECONDS_A_MATMUL_FLOP + work.attention_flops * SECONDS_A_ATTENTION_FLOP
    return gpus.times_as_long * (FIXED_SECONDS + PASSES_PER_STEP * tokens * per_token)


def mean_step_seconds(recipe: Recipe, gpus: Gpus) -> float:
    """Seconds of a step over the whole budget, part of which may run fewer executions."""
    change = plan_change_progress(recipe.model)
    if change is None:
        return step_seconds(recipe, gpus)
    before, after = step_seconds(recipe, gpus, 0.0), step_seconds(recipe, gpus)
    if recipe.budget.clock == "seconds":  # shares of time, and not of steps
        return 1 / (change / before + (1 - change) / after)
    return change * before + (1 - change) * after


def forward_seconds(recipe: Recipe, gpus: Gpus, tokens: float) -> float:
    """Seconds of forward passes over so many tokens, shared out over the devices."""
    flops = token_work(recipe.model, recipe.vocabulary_size, recipe.evaluation.window).flops
    return gpus.times_as_long * tokens * flops * SECONDS_AN_EVALUATION_FLOP / gpus.number
