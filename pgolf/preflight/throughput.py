"""Training and scoring time on GPUs, fitted to public runs.

A step takes a fixed time plus a time per operation of its forward and backward pass. Three numbers fitted to 18
public runs on 8xH100, whose models differ threefold in operations per token, give the steps of each within 6.3 %. Left
out of the fit, two of the 18 are off by more than 10 %: the smallest model and the one with the shortest sequences
(benchmarks/public_speed.py, docs/log/2026-11-22.md). The attention rate comes from a regression and is above what the
hardware can do.
"""

from dataclasses import dataclass
from math import expm1
from typing import Self

from pgolf.gpus import parse_gpus
from trainer.recipe.loader import DocumentPacking, DocumentRows
from trainer.recipe.plan import plan_change_progress
from trainer.recipe.recipe import Recipe
from trainer.recipe.schedule import Warmdown
from trainer.recipe.token_work import PASSES_PER_STEP, TokenWork, token_work

FIXED_SECONDS = 0.0188
# Per operation on one of eight H100.
SECONDS_A_MATMUL_FLOP, SECONDS_A_ATTENTION_FLOP = 3.95e-15, 3.94e-16
# Time relative to an H100: RTX 6000 Ada by two public runs, L40S because it is the same chip, H200 by three shapes of
# this trainer (0.95 to 1.23), A100 by its published bfloat16 rate.
SLOWDOWN = {"H100": 1.0, "H200": 1.0, "A100": 3.2, "RTX-6000-Ada": 4.9, "L40S": 4.9}
UNKNOWN_SLOWDOWN = 5.0
FITTED = ("H100",)
# 50,000 documents of FineWeb have 811 tokens on average with 8,192 pieces, and 957 as CaseOps.
WEB_DOCUMENT_TOKENS = 900
SOURCES = {
    "RTX-6000-Ada": "two public runs",
    "L40S": "two public runs",
    "H200": "three shapes of this trainer on one of them (0.95 to 1.23)",
}
# Evaluation runs forward passes only, in large batches. Six of eight public evaluations are within 19 %; the two slow
# ones include compilation time.
SECONDS_AN_EVALUATION_FLOP = SECONDS_A_MATMUL_FLOP
# Matrix products of an adaptation step relative to scoring, and the rest of the step. Public scripts do not compile
# them; this trainer does. One H200 took less for the one shape that was measured there (docs/log/2026-11-26.md).
# The two numbers are fitted to eight public evaluations: six are within 16 %, the other two took a third longer
# (benchmarks/public_speed.py).
LEARNING_SLOWDOWN, LEARNING_STEP_SECONDS = 7.3, 0.0315


@dataclass(frozen=True, slots=True)
class Gpus:
    """GPUs that share a run."""

    kind: str
    number: int

    @classmethod
    def asked(cls, gpu: str) -> Self:
        """Return the GPUs that `launch.gpu` asks for."""
        found = parse_gpus(gpu)
        return cls(found.kind, found.number)

    @property
    def slowdown(self) -> float:
        """Time relative to H100."""
        return SLOWDOWN.get(self.kind, UNKNOWN_SLOWDOWN)

    @property
    def basis(self) -> str:
        """Source of the predicted time on these GPUs."""
        if self.kind in FITTED:
            known = "fitted to 18 public runs on 8xH100: all within 10 %, 16 of them also when left out of the fit"
            return known if self.number == 8 else f"{known}; other numbers of GPUs are not measured"
        source = SOURCES.get(self.kind, "an assumption")
        return f"scaled from public runs on 8xH100: {self.kind} takes {self.slowdown:g} times as long by {source}"


def work_of(recipe: Recipe, progress: float) -> TokenWork:
    """Return the operations per token of a recipe at a share of its budget."""
    return token_work(recipe.model, recipe.vocabulary_size, sequence_tokens(recipe.schedule, progress), progress)


def sequence_tokens(schedule: Warmdown, progress: float) -> float:
    """Return the length of plain sequences whose attention costs as much per token as that of a schedule.

    If documents are kept apart, the token at position t of a document attends to t tokens, or to t mod `longest` if
    documents are cut. Document lengths are assumed to be exponential; t then has the same distribution.
    """
    match schedule.loader:
        case DocumentPacking():
            longest = schedule.sequence_tokens
        case DocumentRows():
            longest = schedule.loader.longest_at(progress) or schedule.loader.row_tokens
        case _:
            return schedule.sequence_tokens
    return 2 * (WEB_DOCUMENT_TOKENS - longest / expm1(longest / WEB_DOCUMENT_TOKENS))


def step_seconds(recipe: Recipe, gpus: Gpus, progress: float = 1.0) -> float:
    """Return the seconds per step at a share of the budget."""
    work, tokens = work_of(recipe, progress), recipe.schedule.batch_tokens / gpus.number
    per_token = work.matmul_flops * SECONDS_A_MATMUL_FLOP + work.attention_flops * SECONDS_A_ATTENTION_FLOP
    return gpus.slowdown * (FIXED_SECONDS + PASSES_PER_STEP * tokens * per_token)


def mean_step_seconds(recipe: Recipe, gpus: Gpus) -> float:
    """Return the mean seconds per step over the whole budget, of which a first part may run fewer executions."""
    change = plan_change_progress(recipe.model)
    if change is None:
        return step_seconds(recipe, gpus)
    before, after = step_seconds(recipe, gpus, 0.0), step_seconds(recipe, gpus)
    if recipe.budget.clock == "seconds":  # the change is at a share of time, not of steps
        return 1 / (change / before + (1 - change) / after)
    return change * before + (1 - change) * after


def forward_seconds(recipe: Recipe, gpus: Gpus, tokens: float) -> float:
    """Return the seconds of forward passes over `tokens` tokens, shared by the GPUs."""
    flops = token_work(recipe.model, recipe.vocabulary_size, recipe.evaluation.window).flops
    return gpus.slowdown * tokens * flops * SECONDS_AN_EVALUATION_FLOP / gpus.number
