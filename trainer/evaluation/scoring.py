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
    """Write the score of every target into the ledger. A protocol that adapts changes the model.

    Args:
        bos: The token that begins a document.
        on_progress: Called with the number of targets scored so far.
        make_scorer: Replaces WindowScorer.
        forward: A faster forward pass, used where neither gradients nor low-rank adapters are needed.
        backward: A faster loss and backward pass for adaptation steps.
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

            score_with_lora(scorer, recipe, document_starts(ledger.tokens, bos), bos)
        case Chunked() | Sliding() | Documents():
            scorer.score(windows(recipe, len(ledger.nats), document_starts(ledger.tokens, bos)))
    ledger.check_complete()


def document_starts(tokens: NDArray[np.uint16], bos: int) -> list[int]:
    """Return the positions at which documents begin; position 0 is always one of them."""
    return sorted({0, *np.flatnonzero(tokens == bos).tolist()})
