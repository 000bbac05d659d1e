"""Document LoRA: low-rank adapters that learn from a document while it is scored and are reset for the next one.

Each chunk is scored before the adapters learn from it. The adapters intercept the model's matrix products, so the model
itself has no code for them.
Source: LoRA, arXiv 2106.09685; per-document score-first adaptation, openai/parameter-golf #1530.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from trainer.evaluation.window_scorer import WindowScorer
from trainer.evaluation.windows import Window, document_spans, window_from
from trainer.model.linear import linear
from trainer.recipe.evaluation import DocumentLora
from trainer.recipe.inventory import MATRIX_GROUPS, inventory
from trainer.recipe.patterns import matches_any
from trainer.runtime.failure import RunFailure

SEED = 0


class LoraAdapters(TorchFunctionMode):
    """A context in which x w^T becomes x w^T + alpha / rank * (x a^T) b^T for each of the given matrices."""

    def __init__(self, matrices: Mapping[str, Tensor], recipe: DocumentLora) -> None:
        super().__init__()
        self.factor = recipe.alpha / recipe.rank
        generator = torch.Generator().manual_seed(SEED)
        self.pairs: dict[int, tuple[Tensor, Tensor]] = {}
        for matrix in matrices.values():
            rows, columns = matrix.shape
            first_PC = torch.randn(recipe.rank, columns, generator=generator) / columns**0.5
            self.pairs[id(matrix)] = (
                nn.Parameter(first_PC.to(matrix.device)),
                nn.Parameter(torch.zeros(rows, recipe.rank, device=matrix.device)),
            )
        self.initial = [tensor.detach().clone() for tensor in self.parameters()]

    def parameters(self) -> list[Tensor]:
        """Return both factors of every adapter."""
        return [tensor for pair in self.pairs.values() for tensor in pair]

    @torch.no_grad()
    def reset(self) -> None:
        """Restore the initial adapters, which change no product because b is zero."""
        for tensor, first in zip(self.parameters(), self.initial, strict=True):
            tensor.copy_(first)

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        if function is not linear or id(args[1]) not in self.pairs:
            return result
        first_PC, second_RP = self.pairs[id(args[1])]
        added = self.factor * F.linear(F.linear(args[0], first_PC), second_RP)
        return result + (added if args[2] is None else args[2] * added)


def score_with_lora(scorer: WindowScorer, recipe: DocumentLora, starts: list[int]) -> None:
    """Score every target, adapting to each document. With several processes, each scores everything itself."""
    named = dict(scorer.model.named_parameters())
    tensors = inventory(scorer.model.recipe, len(scorer.model.embedding.tokens))
    names = [tensor.name for tensor in tensors if tensor.group in MATRIX_GROUPS]
    names.append("embedding.tokens" if scorer.model.head is None else "head")
    matrices = {name: named[name] for name in names if matches_any(recipe.learn, name)}
    if not matrices:
        raise RunFailure("recipe.evaluation.learn matches no matrix of the model")
    for parameter in scorer.model.parameters():
        parameter.requires_grad_(False)
    learner = DocumentScorer(scorer, recipe, LoraAdapters(matrices, recipe))
    for start, stop in document_spans(starts, len(scorer.ledger.nats)):
        learner.score(start, stop)


class DocumentScorer:
    """Scores a document chunk by chunk, and adapts after each chunk except the last."""

    def __init__(self, scorer: WindowScorer, recipe: DocumentLora, adapters: LoraAdapters) -> None:
        self.scorer, self.recipe, self.adapters = scorer, recipe, adapters

    def score(self, start: int, stop: int) -> None:
        """Score the targets start .. stop - 1, which are one document, beginning with fresh adapters."""
        recipe, ledger = self.recipe, self.scorer.ledger
        self.adapters.reset()
        optimizer = torch.optim.AdamW(
            self.adapters.parameters(),
            lr=recipe.lr,
            betas=(recipe.beta1, recipe.beta2),
            eps=recipe.epsilon,
            weight_decay=recipe.weight_decay,
        )
        for first in range(start, stop, recipe.chunk_tokens):
            end = first + recipe.chunk_tokens
            window = window_from(first, recipe.chunk_tokens, max(start, end - recipe.window), stop, len(ledger.nats))
            is_learned = end < stop
            with self.adapters, torch.set_grad_enabled(is_learned):
                logits_1TV = self.scorer.logits([window])
            ledger.commit(window.first_target, self.scorer.nats(logits_1TV.detach(), [window]))
            if is_learned:
                self.learn(window, logits_1TV, optimizer)
        self.scorer.on_progress(ledger.committed)

    def learn(self, window: Window, logits_1TV: Tensor, optimizer: torch.optim.Optimizer) -> None:
        """Take one step on the targets that a window has scored.

        The loss is computed from the logits that scored them: weights and inputs have not changed since.
        """
        first = window.first_target + 1
        targets = self.scorer.ledger.adaptation_tokens(first, first + window.scored).astype(np.int64)
        targets_T = torch.from_numpy(targets).to(logits_1TV.device)
        optimizer.zero_grad()
        F.cross_entropy(logits_1TV.flatten(0, 1), targets_T).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
