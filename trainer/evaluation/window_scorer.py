"""Scoring of windows, with a model that is only asked for logits."""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from trainer.evaluation.ledger import ScoreLedger
from trainer.evaluation.windows import Window
from trainer.model.gpt import GptModel
from trainer.runtime.world import World

# Tokens per forward pass: enough to keep two cores or a GPU busy, few enough that the logits fit in memory.
PASS_TOKENS = {"cpu": 4_096, "cuda": 65_536}
# Windows of equal shape are batched within stretches of this many; scores of a stretch wait for one another.
STRETCH_WINDOWS = 4_096
Progress = Callable[[int], None]
# Returns the logits of the last `int` tokens. Shapes: (B, T), int -> (B, last, V).
Forward = Callable[[Tensor, int], Tensor]
# Returns a share of the mean loss, whose gradients it has accumulated. Shapes: (B, T), (B, T), float.
Backward = Callable[[Tensor, Tensor, float], Tensor]


class WindowScorer:
    """Scores windows and commits the scores to the ledger in order.

    Windows of one shape go through the model together, wherever they are in a stretch of the text. Of each round of
    batches, one per process, a process computes its own; every process commits all scores.
    """

    def __init__(
        self, model: GptModel, ledger: ScoreLedger, temperature: float, world: World, on_progress: Progress
    ) -> None:
        self.model, self.ledger, self.temperature = model, ledger, temperature
        self.world, self.on_progress = world, on_progress
        self.forward: Forward = model
        # A limit of one token puts each window into a forward pass of its own.
        self.pass_tokens = PASS_TOKENS[world.device.type] if model.compute.scoring == "together" else 1

    @torch.no_grad()
    def score(self, ordered: Iterable[Window]) -> None:
        """Commit the scores of the windows' targets to the ledger."""
        remaining = iter(ordered)
        while stretch := list(islice(remaining, STRETCH_WINDOWS)):
            found: dict[int, NDArray[np.float32]] = {}
            waiting = deque(stretch)
            batches = iter(same_shape_batches(stretch, self.pass_tokens))
            while shared := list(islice(batches, self.world.size)):
                for batch, nats in zip(shared, self.nats_of_batches(shared), strict=True):
                    ends = np.cumsum([window.kept for window in batch])
                    found |= {w.first_target: part for w, part in zip(batch, np.split(nats, ends), strict=False)}
                while waiting and waiting[0].first_target in found:
                    first = waiting.popleft().first_target
                    self.ledger.commit(first, found.pop(first))
                self.on_progress(self.ledger.committed)

    def nats_of_batches(self, shared: list[list[Window]]) -> list[NDArray[np.float32]]:
        """Return the nats of one batch per process; this process computes its own and gathers the others."""
        batch = shared[min(self.world.rank, len(shared) - 1)]
        mine = self.nats(self.logits(batch), batch)
        return self.world.gather(mine, [sum(window.kept for window in each) for each in shared])

    def logits(self, batch: list[Window]) -> Tensor:
        """Return the logits of the targets that windows of one shape score. Shapes: (B, T, V)."""
        tokens = self.ledger.tokens
        x_BT = torch.stack([as_tensor(tokens, w.start, w.length) for w in batch]).to(self.world.device)
        return self.forward(x_BT, batch[0].scored)

    def nats(self, logits_BTV: Tensor, batch: list[Window]) -> NDArray[np.float32]:
        """Return the nats of the targets that count, window by window."""
        tokens, scored = self.ledger.tokens, batch[0].scored
        y_BT = torch.stack([as_tensor(tokens, w.first_target + 1, scored) for w in batch]).to(logits_BTV.device)
        if self.temperature != 1.0:
            logits_BTV = logits_BTV / self.temperature
        nats = F.cross_entropy(logits_BTV.flatten(0, 1), y_BT.flatten(), reduction="none")
        nats_BT = np.asarray(nats.float().cpu().numpy(), dtype=np.float32).reshape(len(batch), scored)
        return np.concatenate([row[: window.kept] for row, window in zip(nats_BT, batch, strict=True)])


def backpropagate(
    mean_loss: Callable[[Tensor, Tensor], Tensor], tokens_BT: Tensor, targets_BT: Tensor, share: float
) -> Tensor:
    """Accumulate the gradients of a share of the mean loss; return that share."""
    loss = share * mean_loss(tokens_BT, targets_BT)
    loss.backward()  # type: ignore[no-untyped-call]
    return loss.detach()


def same_shape_batches(stretch: Iterable[Window], pass_tokens: int) -> Iterator[list[Window]]:
    """Yield the windows in batches of equal shape, which need no padding."""
    filling: dict[tuple[int, int], list[Window]] = defaultdict(list)
    for window in stretch:
        batch = filling[window.length, window.scored]
        batch.append(window)
        if len(batch) * window.length >= pass_tokens:
            yield filling.pop((window.length, window.scored))
    yield from filling.values()


def as_tensor(tokens: NDArray[np.uint16], start: int, length: int) -> Tensor:
    return torch.from_numpy(tokens[start : start + length].astype(np.int64))
