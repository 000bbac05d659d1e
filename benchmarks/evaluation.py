"""Scored tokens a second: ours beside a loop that scores one window at a time, and of protocols that learn."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from benchmarks.measure import Ratio, Timing, repeat, take_turns
from benchmarks.plain_loop import PlainGpt
from benchmarks.shapes import bench_device, job_of_shape, plain_shape
from benchmarks.training import as_scripts_do, as_the_trainer_does, pairs
from trainer.evaluation.ledger import ScoreLedger
from trainer.evaluation.scoring import score_stream
from trainer.evaluation.validation import read_validation
from trainer.evaluation.windows import sliding_windows
from trainer.model.gpt import GptModel
from trainer.recipe.compute import Compute
from trainer.recipe.evaluation import EvaluationRecipe, ScoreFirstTtt, Sgd, Sliding
from trainer.recipe.recipe import Recipe
from trainer.runtime.world import World

STRIDE = 64
FULL_WINDOWS = 32
VARIANTS = {"ours": Compute(), "ours in bfloat16": Compute(precision="bfloat16")}


def measure_evaluation(shape: str, rounds: int) -> tuple[list[Timing], list[Ratio]]:
    """Sliding windows as published, by both; then windows that are learned from."""
    with job_of_shape(shape, None) as job:
        recipe = job.recipe
        text = read_validation(job.data, recipe.vocabulary_size)
    window = recipe.schedule.sequence_tokens
    scored = window + FULL_WINDOWS * STRIDE
    tokens = text.tokens[: scored + 1]
    sliding = Sliding(kind="sliding", window=window, stride=STRIDE)
    plain = PlainGpt(plain_shape(recipe), window).to(bench_device())
    actions: dict[str, Callable[[], object]] = {
        "one window at a time": as_scripts_do(lambda: score_one_by_one(plain, tokens, sliding))
    }
    for name, compute in VARIANTS.items():
        actions[name] = as_the_trainer_does(lambda compute=compute: score(recipe, compute, tokens, sliding))  # type: ignore[misc]
    seconds = take_turns(actions, rounds)
    name = f"evaluate {shape}, window {window}, stride {STRIDE}"
    timings = [Timing(f"{name}: {key}", values, scored, "tokens") for key, values in seconds.items()]
    slow = seconds["one window at a time"]
    ratios = [
        Ratio(f"{shape}, evaluation: {key} over one window at a time", pairs(slow, seconds[key])) for key in VARIANTS
    ]
    learning = ScoreFirstTtt(
        kind="score_first_ttt", window=window, stride=window // 2, chunk_tokens=2 * window, epochs=1,
        optimizer=Sgd(kind="sgd", lr=0.001),
    )  # fmt: skip
    learned = repeat(lambda: score(recipe, VARIANTS["ours in bfloat16"], tokens, learning), 1)
    timings.append(Timing(f"TTT {shape}, stride {window // 2}, one epoch, bfloat16", learned, scored, "tokens"))
    return timings, ratios


def score(recipe: Recipe, compute: Compute, tokens: NDArray[np.uint16], protocol: EvaluationRecipe) -> None:
    """Nothing; a fresh model has scored the tokens."""
    model = GptModel(recipe.model, recipe.vocabulary_size, compute).to(bench_device())
    score_stream(model, ScoreLedger(tokens), protocol, World(bench_device()), 1, lambda _: None)


@torch.no_grad()
def score_one_by_one(model: PlainGpt, tokens: NDArray[np.uint16], protocol: Sliding) -> float:
    """The nats of all targets, a forward pass for each window and the last ones of its logits."""
    total, device = 0.0, bench_device()
    for window in sliding_windows(protocol.window, protocol.stride, len(tokens) - 1):
        span = tokens[window.start : window.start + window.length + 1].astype(np.int64)
        x_T, y_T = torch.from_numpy(span[:-1]).to(device), torch.from_numpy(span[1:]).to(device)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
            logits_TV = model.logits(x_T[None])[0].float()
        total += F.cross_entropy(logits_TV, y_T, reduction="none")[-window.scored :].sum().item()
    return total
