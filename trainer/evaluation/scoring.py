"""Scoring a model under a protocol. A protocol asks a model only for logits."""

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby, islice

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from trainer.evaluation.ledger import ScoreLedger
from trainer.evaluation.windows import Window, windows
from trainer.model.gpt import GptModel
from trainer.recipe.evaluation import Chunked, DocumentLora, Documents, EvaluationRecipe, ScoreFirstTtt, Sliding
from trainer.runtime.world import World

# Tokens of a forward pass: enough to keep two cores or a GPU busy, few enough that the logits fit.
PASS_TOKENS = {"cpu": 4_096, "cuda": 65_536}
Progress = Callable[[int], None]


def score_stream(
    model: GptModel,
    ledger: ScoreLedger,
    recipe: EvaluationRecipe,
    world: World,
    begin: int,
    on_progress: Progress,
    make_scorer: "Callable[..., WindowScorer] | None" = None,
) -> None:
    """Nothing; the ledger holds the score of every target. `begin` is the token that begins a document; `on_progress`
    hears how many scores there are. A protocol that learns changes the model.
    """
    model.eval()
    scorer = (make_scorer or WindowScorer)(model, ledger, recipe.temperature, world, on_progress)
    match recipe:
        case ScoreFirstTtt():
            from trainer.evaluation.score_first_ttt import score_and_learn

            score_and_learn(scorer, recipe)
        case DocumentLora():
            from trainer.evaluation.document_lora import score_with_additions

            score_with_additions(scorer, recipe, document_begins(ledger.tokens, begin))
        case Chunked() | Sliding() | Documents():
            scorer.score(windows(recipe, len(ledger.nats), document_begins(ledger.tokens, begin)))
    ledger.check_complete()


def document_begins(tokens: NDArray[np.uint16], begin: int) -> list[int]:
    """Where documents begin; the first token begins one whatever it is."""
    return sorted({0, *np.flatnonzero(tokens == begin).tolist()})


class WindowScorer:
    """Scores windows in order. Where several processes share the work they take turns: of each round of batches one is
    this process's, and all of them commit all scores in order.
    """

    def __init__(
        self, model: GptModel, ledger: ScoreLedger, temperature: float, world: World, on_progress: Progress
    ) -> None:
        self.model, self.ledger, self.temperature = model, ledger, temperature
        self.world, self.on_progress = world, on_progress

    @torch.no_grad()
    def score(self, ordered: Iterable[Window]) -> None:
        """Nothing; the ledger holds the scores of the windows' targets."""
        world, ledger = self.world, self.ledger
        batches = same_shape_batches(iter(ordered), PASS_TOKENS[world.device.type])
        while shared := list(islice(batches, world.size)):
            mine = self.nats(shared[min(world.rank, len(shared) - 1)])
            lengths = [sum(window.kept for window in batch) for batch in shared]
            for batch, nats in zip(shared, world.gather(mine, lengths), strict=False):
                ledger.commit(batch[0].first_target, nats)
            self.on_progress(ledger.committed)

    def nats(self, batch: list[Window]) -> NDArray[np.float32]:
        """Nats of the targets that count, in order. Logits are made for the targets that the windows score."""
        tokens, device, scored = self.ledger.tokens, self.world.device, batch[0].scored
        x_BT = torch.stack([as_tensor(tokens, w.start, w.length) for w in batch]).to(device)
        y_BT = torch.stack([as_tensor(tokens, w.first_target + 1, scored) for w in batch]).to(device)
        logits_BTV = self.model(x_BT, last=scored)
        if self.temperature != 1.0:
            logits_BTV = logits_BTV / self.temperature
        nats = F.cross_entropy(logits_BTV.flatten(0, 1), y_BT.flatten(), reduction="none")
        nats_BT = np.asarray(nats.float().cpu().numpy(), dtype=np.float32).reshape(len(batch), scored)
        return np.concatenate([row[: window.kept] for row, window in zip(nats_BT, batch, strict=True)])


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


def as_tensor(tokens: NDArray[np.uint16], start: int, length: int) -> Tensor:
    return torch.from_numpy(tokens[start : start + length].astype(np.int64))
