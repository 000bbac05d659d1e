"""Scored tokens a second: ours against a loop that scores one window at a time, and of protocols that learn."""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from benchmarks.measure import Ratio, Timing, repeat, take_turns
from benchmarks.plain_loop import PlainGpt
from benchmarks.shapes import bench_device, job_of_shape, plain_shape
from benchmarks.training import pair_ratios, variants_of, with_default_allocator, with_kept_memory
from trainer.evaluation.ledger import ScoreLedger
from trainer.evaluation.scoring import score_stream
from trainer.evaluation.validation import read_validation
from trainer.evaluation.window_scorer import PASS_TOKENS
from trainer.evaluation.windows import sliding_windows
from trainer.graphs import PASSES_BEFORE_COMPILE, LearningGraphs, ScoringGraphs, is_compiled
from trainer.model.gpt import GptModel
from trainer.recipe.evaluation import EvaluationRecipe, ScoreFirstTtt, Sgd, Sliding
from trainer.recipe.recipe import Recipe
from trainer.runtime.world import World

STRIDE = 64
# Windows to score after the first; a GPU scores 512 in a few passes.
FULL_WINDOWS = {"cpu": 32, "cuda": 512}


def measure_evaluation(shape: str, rounds: int, is_compiling: bool) -> tuple[list[Timing], list[Ratio]]:
    """Time sliding windows with each variant and with the plain loop, then score-first adaptation with each variant.

    On a CPU the plain loop scores in float32, also where a variant uses bfloat16.
    """
    recipes = {}
    for name, keys in variants_of(is_compiling).items():
        with job_of_shape(shape, None, *keys) as job:
            recipes[name] = job.recipe
            text = read_validation(job.data, job.recipe.vocabulary_size)
    recipe = recipes["ours"]
    window = recipe.schedule.sequence_tokens
    scored = window + FULL_WINDOWS[bench_device().type] * STRIDE
    tokens = text.tokens[: scored + 1]
    sliding = Sliding(kind="sliding", window=window, stride=STRIDE)
    plain = PlainGpt(plain_shape(recipe), window).to(bench_device())
    actions: dict[str, Callable[[], object]] = {
        "one window at a time": with_default_allocator(lambda: score_one_by_one(plain, tokens, sliding))
    }
    for name, variant in recipes.items():
        scorer = Scorer(variant)
        scorer.warm_up(tokens, sliding)
        actions[name] = with_kept_memory(lambda scorer=scorer: scorer.score(tokens, sliding))  # type: ignore[misc]
    seconds = take_turns(actions, rounds)
    title = f"evaluate {shape}, window {window}, stride {STRIDE}"
    timings = [Timing(f"{title}: {name}", values, scored, "tokens") for name, values in seconds.items()]
    slow = seconds["one window at a time"]
    ratios = [
        Ratio(f"{shape}, evaluation: {name} over one window at a time", pair_ratios(slow, seconds[name]))
        for name in recipes
    ]
    learning = ScoreFirstTtt(
        kind="score_first_ttt", window=window, stride=window // 2, chunk_tokens=2 * window, epochs=1,
        optimizer=Sgd(kind="sgd", lr=0.001),
    )  # fmt: skip
    for name, variant in recipes.items():
        scorer = Scorer(variant)
        for _ in range(PASSES_BEFORE_COMPILE if scorer.learning_graphs else 0):
            scorer.score(tokens, learning)
        learned = repeat(partial(scorer.score, tokens, learning), 1)
        timings.append(Timing(f"TTT {shape}, stride {window // 2}, one epoch: {name}", learned, scored, "tokens"))
    return timings, ratios


class Scorer:
    """A fresh model with the compiled graphs that score with it."""

    def __init__(self, recipe: Recipe) -> None:
        self.model = GptModel(recipe.model, recipe.vocabulary_size, recipe.compute).to(bench_device())
        is_with_graphs = is_compiled(recipe.compute, bench_device())
        self.graphs = ScoringGraphs(self.model, print) if is_with_graphs else None
        self.learning_graphs = LearningGraphs(self.model, print) if is_with_graphs else None

    def warm_up(self, tokens: NDArray[np.uint16], protocol: Sliding) -> None:
        """Score a few windows until the most frequent shape is compiled."""
        batch = PASS_TOKENS[bench_device().type] // protocol.window
        few = tokens[: protocol.window + batch * protocol.stride + 1]
        for _ in range(PASSES_BEFORE_COMPILE if self.graphs else 0):
            self.score(few, protocol)

    def score(self, tokens: NDArray[np.uint16], protocol: EvaluationRecipe) -> None:
        """Score the tokens under a protocol."""
        world, ledger = World(bench_device()), ScoreLedger(tokens)
        score_stream(
            self.model, ledger, protocol, world, 1, lambda _: None, forward=self.graphs, backward=self.learning_graphs
        )


@torch.no_grad()
def score_one_by_one(model: PlainGpt, tokens: NDArray[np.uint16], protocol: Sliding) -> float:
    """Return the nats of all targets, with one forward pass a window and only its last logits used."""
    total, device = 0.0, bench_device()
    for window in sliding_windows(protocol.window, protocol.stride, len(tokens) - 1):
        span = tokens[window.start : window.start + window.length + 1].astype(np.int64)
        x_T, y_T = torch.from_numpy(span[:-1]).to(device), torch.from_numpy(span[1:]).to(device)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
            logits_TV = model.logits(x_T[None])[0].float()
        total += F.cross_entropy(logits_TV, y_T, reduction="none")[-window.scored :].sum().item()
    return total
