"""The evaluation slot: scoring a text under the protocol that a recipe names."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from trainer.evaluation.ledger import ScoreLedger
from trainer.evaluation.window_scorer import Backward, Forward, Progress, WindowScorer
from trainer.evaluation.windows import windows
from trainer.model.gpt import GptModel
from trainer.recipe.evaluation import Chunked, DocumentLora, Documents, EvaluationRecipe, ScoreFirstTtt, Sliding
from trainer.runtime.world import World


def score_stream(
    model: GptModel,
    ledger: ScoreLedger,
    recipe: EvaluationRecipe,
    world: World,
    bos: int,
    on_progress: Progress,
    make_scorer: "Callable[..., WindowScorer] | None" = None,
    forward: Forward | None = None,
    backward: Backward | None = None,
) -> None:
    """Nothing; the ledger holds the score of every target. `bos` is the token that begins a document; `on_progress`
    hears how many scores there are. A protocol that learns changes the model. `forward` does what the model does, and
    faster, as long as there are neither gradients nor low-rank additions; `backward` leaves the gradients of a step.
    """
    model.eval()
    scorer = (make_scorer or WindowScorer)(model, ledger, recipe.temperature, world, on_progress)
    if forward is not None and not isinstance(recipe, DocumentLora):
        scorer.forward = forward
    match recipe:
        case ScoreFirstTtt():
            from trainer.evaluation.score_first_ttt import score_and_adapt

            score_and_adapt(scorer, recipe, backward)
        case DocumentLora():
            from trainer.evaluation.document_lora import score_with_lora

            score_with_lora(scorer, recipe, document_starts(ledger.tokens, bos))
        case Chunked() | Sliding() | Documents():
            scorer.score(windows(recipe, len(ledger.nats), document_starts(ledger.tokens, bos)))
    ledger.check_complete()


def document_starts(tokens: NDArray[np.uint16], bos: int) -> list[int]:
    """Where documents begin; the first token begins one whatever it is."""
    return sorted({0, *np.flatnonzero(tokens == bos).tolist()})
