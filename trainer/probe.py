"""`python -P -m trainer.probe MODEL FOLDER`: a packed model's scores of some token streams, with whole distributions.

For audits: the same protocol that scored the headline, asked what it makes of streams that somebody has tampered with.
FOLDER holds questions.npz and gets answers.npz; both are described in docs/audit.md.
"""

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainer.codec.container import ModelCard, decode_artifact
from trainer.evaluation.ledger import ScoreLedger
from trainer.evaluation.scoring import score_stream
from trainer.evaluation.window_scorer import WindowScorer
from trainer.evaluation.windows import Window
from trainer.model.gpt import GptModel
from trainer.recipe.files import ANSWERS, QUESTIONS
from trainer.runtime.device import choose_device
from trainer.runtime.failure import ArtifactRefused
from trainer.runtime.world import World


def probe_main() -> int:
    """Answer the questions in answers.npz, or write there why the model cannot be decoded. Return the exit code."""
    parser = argparse.ArgumentParser(prog="trainer.probe")
    parser.add_argument("model", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    try:
        card, weights = decode_artifact(arguments.model)
    except ArtifactRefused as error:
        np.savez(arguments.folder / ANSWERS, refused=np.array(str(error)))
        return error.exit_code
    world = World(choose_device("cpu"))
    with np.load(arguments.folder / QUESTIONS) as questions:
        streams, asked, begin = questions["streams"], questions["asked"], int(questions["begin"])
    nats, rows = [], []
    for number, tokens in enumerate(streams):
        positions = [int(position) for stream, position in asked if stream == number]
        scores, distributions = probe_stream(card, weights, tokens, positions, begin, world)
        nats.append(scores)
        rows += distributions
    answers = {"nats": np.stack(nats), "log_probabilities": np.stack(rows)}
    np.savez(arguments.folder / ANSWERS, **answers)  # type: ignore[arg-type]
    return 0


def probe_stream(
    card: ModelCard,
    weights: dict[str, Tensor],
    tokens: NDArray[np.uint16],
    positions: list[int],
    begin: int,
    world: World,
) -> tuple[NDArray[np.float32], list[NDArray[np.float64]]]:
    """Scores of all targets of a stream, and the log probabilities of the whole vocabulary at some of its positions.

    Shapes: nats (T - 1,), each distribution (V,), in float64.
    """
    model = GptModel(card.model, card.vocabulary_size, card.compute)
    model.load_state_dict(weights)
    model.to(world.device)
    ledger = ScoreLedger(tokens)
    recorded: dict[int, Tensor] = {}
    score_stream(model, ledger, card.evaluation, world, begin, lambda _: None, partial(RecordingScorer, recorded))
    temperature = card.evaluation.temperature
    logits_PV = [recorded[position - 1].double() / temperature for position in positions]
    return ledger.nats, [torch.log_softmax(logits_V, 0).numpy() for logits_V in logits_PV]


class RecordingScorer(WindowScorer):
    """Scores, and keeps the logits that each target was scored by."""

    def __init__(self, recorded: dict[int, Tensor], *settings: Any) -> None:
        super().__init__(*settings)
        self.recorded = recorded

    def logits(self, batch: list[Window]) -> Tensor:
        logits_BTV = super().logits(batch)
        for logits_TV, window in zip(logits_BTV, batch, strict=True):
            self.recorded.update(enumerate(logits_TV[: window.kept].detach().float().cpu(), start=window.first_target))
        return logits_BTV


if __name__ == "__main__":
    sys.exit(probe_main())
