"""Score-first test-time training (TTT): the model learns from a chunk only after scoring it.

The scores of a chunk are in the ledger before any of its tokens reaches the optimizer, and the ledger gives out only
tokens that have been scored. So no target is scored by a model that has been trained on it.
Source: openai/parameter-golf #549 (SGD), #576 (AdamW).
"""

from collections.abc import Iterator
from functools import partial
from itertools import groupby
from math import cos, pi

import numpy as np
import torch
from torch import Tensor

from trainer.evaluation.ledger import ScoreLedger
from trainer.evaluation.window_scorer import Backward, WindowScorer, backpropagate
from trainer.evaluation.windows import Window, sliding_windows
from trainer.model.gpt import GptModel
from trainer.recipe.evaluation import AdamW, ScoreFirstTtt, Sgd
from trainer.recipe.patterns import matches_any
from trainer.runtime.failure import RunFailure
from trainer.runtime.world import World


def score_and_adapt(scorer: WindowScorer, recipe: ScoreFirstTtt, backward: Backward | None = None) -> None:
    """Score every target, and train the model on each chunk, except the last, after scoring it.

    A window belongs to the chunk of the first target that it scores. Several processes divide the windows and the
    sequences of each step among them; all take the same step, so their models stay equal.
    """
    targets = len(scorer.ledger.nats)
    chunks = -(-targets // recipe.chunk_tokens)
    learner = ChunkLearner(scorer.model, recipe, scorer.world, backward)
    for chunk, of_chunk in windows_by_chunk(recipe, targets):
        scorer.score(of_chunk)
        if chunk < chunks - 1:
            share = (1 + cos(pi * chunk / (chunks - 1))) / 2
            learner.learn(chunk_sequences(scorer.ledger, recipe, chunk), share)
    scorer.world.check_same_weights(scorer.model.parameters(), "after adaptation")


def windows_by_chunk(recipe: ScoreFirstTtt, targets: int) -> Iterator[tuple[int, Iterator[Window]]]:
    """Yield each chunk number with its windows, in order."""
    ordered = sliding_windows(recipe.window, recipe.stride, targets)
    yield from groupby(ordered, key=lambda window: window.first_target // recipe.chunk_tokens)


def chunk_sequences(ledger: ScoreLedger, recipe: ScoreFirstTtt, chunk: int) -> Tensor:
    """Return the full, disjoint windows of a chunk, each with the target of its last token.

    Shapes: (N, window + 1), int64.

    Raises:
        LedgerViolation: one of the tokens has not been scored.
    """
    start = chunk * recipe.chunk_tokens
    count = recipe.chunk_tokens // recipe.window
    tokens = ledger.adaptation_tokens(start, start + count * recipe.window + 1).astype(np.int64)
    rows = [tokens[row * recipe.window : (row + 1) * recipe.window + 1] for row in range(count)]
    return torch.from_numpy(np.stack(rows))


class ChunkLearner:
    """Trains the model on one chunk after another; the optimizer state is kept between chunks."""

    def __init__(self, model: GptModel, recipe: ScoreFirstTtt, world: World, backward: Backward | None = None) -> None:
        self.model, self.recipe = model, recipe
        self.backpropagate = backward or partial(backpropagate, model.mean_loss)
        is_shared = model.compute.scoring == "together"
        self.world = world if is_shared else World(world.device)  # else each process computes the whole step
        named = dict(model.named_parameters())
        learning = [n for n in named if matches_any(recipe.learn, n) and not matches_any(recipe.freeze, n)]
        if not learning:
            raise RunFailure("recipe.evaluation: `learn` and `freeze` leave no tensor to train")
        for name, parameter in named.items():
            parameter.requires_grad_(name in learning)
        self.parameters = [named[name] for name in learning]
        self.optimizer = make_adaptation_optimizer(recipe, self.parameters)

    def learn(self, sequences_NT: Tensor, share: float) -> None:
        """Train on the sequences for all epochs, at `share` of the learning rate."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.optimizer.lr * share
        for _ in range(self.recipe.epochs):
            for batch_BT in torch.split(sequences_NT, self.recipe.batch_sequences):
                self.step(batch_BT)

    def step(self, batch_BT: Tensor) -> None:
        """Take one optimizer step on a batch; each process computes the gradients of its part."""
        self.optimizer.zero_grad()
        mine_BT = batch_BT[self.world.rank :: self.world.size]
        share = len(mine_BT) / len(batch_BT)
        # A process without a sequence computes gradients too, with weight 0: the sum needs them from every process.
        mine_BT = (mine_BT if len(mine_BT) else batch_BT[:1]).to(self.world.device)
        self.backpropagate(mine_BT[:, :-1], mine_BT[:, 1:], share)
        self.world.sum_gradients(self.parameters, torch.empty(0, device=self.world.device))
        if self.recipe.clip_norm:
            torch.nn.utils.clip_grad_norm_(self.parameters, self.recipe.clip_norm)
        self.optimizer.step()


def make_adaptation_optimizer(recipe: ScoreFirstTtt, parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """Return the optimizer that a recipe adapts with."""
    match recipe.optimizer:
        case Sgd():
            return torch.optim.SGD(parameters, lr=recipe.optimizer.lr, momentum=recipe.optimizer.momentum)
        case AdamW():
            adamw = recipe.optimizer
            return torch.optim.AdamW(
                parameters,
                lr=adamw.lr,
                betas=(adamw.beta1, adamw.beta2),
                eps=adamw.epsilon,
                weight_decay=adamw.weight_decay,
            )
