"""Phases: the whole model trains on the documents that are scored, and the adapters go on from there.

Source: openai/parameter-golf #1626.
"""

from collections.abc import Sequence
from functools import partial
from math import cos, pi

import numpy as np
import torch
from torch import Tensor

from trainer.data.documents import segments_of
from trainer.evaluation.document_ledger import Span
from trainer.evaluation.ledger import ScoreLedger
from trainer.evaluation.score_first_ttt import ChunkLearner
from trainer.evaluation.window_scorer import WindowScorer, backpropagate
from trainer.model.gpt import GptModel
from trainer.recipe.evaluation import DocumentLora, ScoreFirstTtt, Sgd
from trainer.runtime.world import World


def train_on_documents(scorer: WindowScorer, recipe: DocumentLora, scored: Sequence[Span], bos: int) -> None:
    """Train all weights on documents, one after another as they were scored, each of which sees itself alone."""
    assert recipe.phases is not None
    model, phases = scorer.model, recipe.phases
    sequences = phases.chunk_tokens // recipe.window
    protocol = ScoreFirstTtt(
        kind="score_first_ttt",
        window=recipe.window,
        stride=recipe.window,
        chunk_tokens=phases.chunk_tokens,
        optimizer=Sgd(kind="sgd", lr=phases.lr, momentum=phases.momentum),
        epochs=1,
        batch_sequences=sequences,
        clip_norm=phases.clip_norm,
    )
    # Every process takes whole steps: sums of gradients over processes would round with their number.
    alone = World(scorer.world.device)
    learner = ChunkLearner(model, protocol, alone, partial(backpropagate, partial(loss_within, model, bos)))
    chunks = torch.split(document_sequences(scorer.ledger, scored, recipe.window, bos), sequences)
    for number, chunk_NT in enumerate(chunks[:-1]):  # the last one is left out, as in the records
        learner.learn(chunk_NT, (1 + cos(pi * number / (len(chunks) - 1))) / 2)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    scorer.world.check_same_weights(model.parameters(), "after a phase")


def document_sequences(ledger: ScoreLedger, scored: Sequence[Span], window: int, bos: int) -> Tensor:
    """Return the tokens of documents in rows of `window`, each with the token after it. Shapes: (N, window + 1).

    Raises:
        LedgerViolation: a token has not been scored.
    """
    parts = [
        np.concatenate((first_token(ledger, start, bos), ledger.adaptation_tokens(start + 1, stop)))
        for start, stop in scored
    ]
    tokens = np.concatenate([*parts, [bos]]).astype(np.int64)
    rows = (len(tokens) - 1) // window
    starts = window * np.arange(rows)[:, None]
    return torch.from_numpy(tokens[starts + np.arange(window + 1)])


def first_token(ledger: ScoreLedger, start: int, bos: int) -> Sequence[int]:
    """Return the token that begins a document, which is known before its document: `bos`, but for a text's first."""
    return [bos] if start else [int(ledger.tokens[0])]


def loss_within(model: GptModel, bos: int, tokens_BT: Tensor, targets_BT: Tensor) -> Tensor:
    """Return the mean nats where each document sees itself alone."""
    return model.mean_loss(tokens_BT, targets_BT, segments_of(tokens_BT.cpu(), bos, None, tokens_BT.device))
