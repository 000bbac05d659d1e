"""Scoring a model under a protocol. A protocol asks a model only for logits."""

from collections.abc import Callable, Iterator
from itertools import groupby, islice

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from trainer.evaluation.ledger import ScoreLedger
from trainer.evaluation.windows import Window, windows
from trainer.model.gpt import GptModel
from trainer.recipe.evaluation import EvaluationRecipe
from trainer.runtime.device import precision
from trainer.runtime.world import World

# Tokens of a forward pass: enough to keep two cores or a GPU busy, few enough that the logits fit.
PASS_TOKENS = {"cpu": 4_096, "cuda": 65_536}


@torch.inference_mode()
def score_stream(
    model: GptModel,
    ledger: ScoreLedger,
    recipe: EvaluationRecipe,
    world: World,
    on_progress: Callable[[int], None],
) -> None:
    """Nothing; the ledger holds the score of every target. `on_progress` hears how many there are.

    Processes take turns: of each round of batches one is this process's, and all of them commit all scores in order.
    """
    model.eval()
    batches = same_shape_batches(windows(recipe, len(ledger.nats)), PASS_TOKENS[world.device.type])
    while shared := list(islice(batches, world.size)):
        mine = score_windows(model, ledger.tokens, shared[min(world.rank, len(shared) - 1)], world.device)
        lengths = [sum(window.scored for window in batch) for batch in shared]
        for batch, nats in zip(shared, world.gather(mine, lengths), strict=False):
            ledger.commit(batch[0].first_target, nats)
        on_progress(ledger.committed)
    ledger.check_complete()


def same_shape_batches(ordered: Iterator[Window], pass_tokens: int) -> Iterator[list[Window]]:
    """Runs of consecutive windows of one shape, none of which needs padding."""
    for (length, _), run in groupby(ordered, key=lambda window: (window.length, window.scored)):
        batch: list[Window] = []
        for window in run:
            batch.append(window)
            if len(batch) * length >= pass_tokens:
                yield batch
                batch = []
        if batch:
            yield batch


def score_windows(
    model: GptModel, tokens: NDArray[np.uint16], batch: list[Window], device: torch.device
) -> NDArray[np.float32]:
    """Nats of the targets that the windows score, in order. Logits are made for these targets only."""
    x_BT = torch.stack([as_tensor(tokens, w.start, w.length) for w in batch]).to(device)
    scored = batch[0].scored
    y_BT = torch.stack([as_tensor(tokens, w.first_target + 1, scored) for w in batch]).to(device)
    with precision(device):
        logits_BTV = model(x_BT, last=scored)
    nats = F.cross_entropy(logits_BTV.flatten(0, 1), y_BT.flatten(), reduction="none")
    return nats.float().cpu().numpy()


def as_tensor(tokens: NDArray[np.uint16], start: int, length: int) -> Tensor:
    return torch.from_numpy(tokens[start : start + length].astype(np.int64))
