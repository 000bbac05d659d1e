"""Document LoRA: low-rank adapters that learn from a document while it is scored.

Each chunk is scored before the adapters learn from it. The adapters intercept the model's matrix products, so the model
itself has no code for them. Documents advance side by side, each with factors and an optimizer state of its own.
Shape letters besides those of `trainer.model.gpt`: B document of a batch, P rank.
Source: LoRA, arXiv 2106.09685; per-document score-first adaptation, openai/parameter-golf #1530.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from trainer.evaluation.adapter_places import Place, adapter_places
from trainer.evaluation.document_ledger import DocumentLedger, Span
from trainer.evaluation.window_scorer import WindowScorer
from trainer.evaluation.windows import Window, document_spans, window_from
from trainer.model.linear import linear
from trainer.recipe.evaluation import DocumentLora

SEED = 0
# Batches of a round, each with first factors that it hands on to that of the next round. As many as the records had
# processes, whatever the number here, so that scores do not depend on it.
BATCHES_SIDE_BY_SIDE = 8
Factors = dict[tuple[int, int], tuple[Tensor, Tensor]]
"""By place and visit: the first factors of all documents of a batch, (B, P, C), and the second ones, (B, R, P)."""


class Adapters(TorchFunctionMode):
    """A context in which x w^T becomes x w^T + alpha / rank * (z a^T) b^T at each place.

    z is x, or what the branch that ends there has read.
    """

    def __init__(self, places: Mapping[int, Place], factor: float) -> None:
        super().__init__()
        self.places, self.factor = places, factor
        self.read: dict[str, Tensor] = {}
        self.visits: Counter[int] = Counter()
        self.factors: Factors = {}

    def begin(self, factors: Factors) -> None:
        """Begin a forward pass with these factors."""
        self.factors = factors
        self.visits.clear()

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        if function is not linear or id(args[1]) not in self.places:
            return result
        place = self.places[id(args[1])]
        if place.begins:
            self.read[place.begins] = args[0]
        if not place.visits:
            return result
        visit = self.visits[place.number] % place.visits
        self.visits[place.number] += 1
        first_BPC, second_BRP = self.factors[place.number, visit]
        z_BTC = self.read[place.ends] if place.ends else args[0]
        # Code of the user's own may lay the rows of a batch one after another.
        z_BTC = z_BTC.reshape(len(first_BPC), -1, z_BTC.size(-1))
        added_BTR = self.factor * torch.bmm(
            torch.bmm(z_BTC, first_BPC.mT.to(z_BTC.dtype)), second_BRP.mT.to(z_BTC.dtype)
        )
        added = added_BTR.reshape(result.shape)
        return result + (added if args[2] is None else args[2] * added)


class AdaptedBatch:
    """The factors of the documents of a batch, and the state of AdamW."""

    def __init__(self, recipe: DocumentLora, firsts: Mapping[tuple[int, int], Tensor], rows: Mapping[int, int]) -> None:
        self.recipe, self.steps = recipe, 0
        self.factors: Factors = {
            (place, visit): (
                first_BPC.clone().requires_grad_(),
                first_BPC.new_zeros(len(first_BPC), rows[place], recipe.rank).requires_grad_(),
            )
            for (place, visit), first_BPC in firsts.items()
        }
        self.means = [torch.zeros_like(tensor) for tensor in self.tensors()]
        self.squares = [torch.zeros_like(tensor) for tensor in self.tensors()]

    def tensors(self) -> list[Tensor]:
        """Return all factors."""
        return [tensor for pair in self.factors.values() for tensor in pair]

    def learn(self, loss: Tensor) -> None:
        """Take one step of AdamW on a sum of losses, one for each document."""
        recipe, self.steps = self.recipe, self.steps + 1
        # A matrix that no product reads has no gradient.
        gradients: tuple[Tensor | None, ...] = torch.autograd.grad(loss, self.tensors(), allow_unused=True)
        mean_bias, square_bias = 1 - recipe.beta1**self.steps, 1 - recipe.beta2**self.steps
        with torch.no_grad():
            for tensor, gradient, mean, square in zip(self.tensors(), gradients, self.means, self.squares, strict=True):
                if gradient is None:
                    continue
                tensor.mul_(1 - recipe.lr * recipe.weight_decay)
                mean.lerp_(gradient, 1 - recipe.beta1)
                square.mul_(recipe.beta2).addcmul_(gradient, gradient, value=1 - recipe.beta2)
                tensor.addcdiv_(mean, (square / square_bias).sqrt_().add_(recipe.epsilon), value=-recipe.lr / mean_bias)

    @torch.no_grad()
    def keep(self, rows: Tensor) -> None:
        """Keep the documents of these rows."""
        self.factors = {
            key: (first[rows].requires_grad_(), second[rows].requires_grad_())
            for key, (first, second) in self.factors.items()
        }
        self.means, self.squares = ([each[rows] for each in state] for state in (self.means, self.squares))


class FirstFactors:
    """The first factors with which the documents of one batch after another begin."""

    def __init__(self, recipe: DocumentLora, places: Sequence[Place], device: torch.device, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.is_kept = recipe.keep_first
        self.fresh: dict[tuple[int, int], Tensor] = {}
        for place in places:
            bound = place.columns**-0.5
            for visit in range(place.visits):
                first_PC = torch.empty(recipe.rank, place.columns).uniform_(-bound, bound, generator=generator)
                self.fresh[place.number, visit] = first_PC.to(device)
        self.kept = {key: first[None].repeat(recipe.batch_documents, 1, 1) for key, first in self.fresh.items()}

    def take(self, documents: int) -> dict[tuple[int, int], Tensor]:
        """Return the first factors for so many documents. Shapes: (documents, P, C)."""
        return {key: first_BPC[:documents] for key, first_BPC in self.kept.items()}

    @torch.no_grad()
    def hand_on(self, factors: Factors, rows: Sequence[int], numbers: Sequence[int]) -> None:
        """Keep what documents have learned, by their rows and their places in the batch, if the recipe says so."""
        if self.is_kept and rows:
            for key, (first_BPC, _) in factors.items():
                self.kept[key][list(numbers)] = first_BPC[list(rows)].detach()


def score_with_lora(scorer: WindowScorer, recipe: DocumentLora, starts: list[int], bos: int) -> None:
    """Score every target, adapting to each document. Processes take turns with the batches of a round.

    The scores go into a ledger that follows the documents, and from there, when all are final, into the scorer's.
    """
    whole, scorer.ledger = scorer.ledger, DocumentLedger(scorer.ledger.tokens, recipe.window)
    ledger = scorer.ledger
    for parameter in scorer.model.parameters():
        parameter.requires_grad_(False)
    spans = list(document_spans(starts, len(ledger.nats)))
    rounds = list(rounds_of(recipe, spans))
    ledger.announce([[span for batch in each for span in batch] for each in rounds])
    learner = DocumentScorer(scorer, recipe)
    scored: list[Span] = []
    for each in rounds:
        learner.score_round(each)
        scored += [span for batch in each for span in batch]
        if recipe.phases is not None and len(scored) in recipe.phases.after_documents and len(scored) < len(spans):
            from trainer.evaluation.document_phases import train_on_documents

            train_on_documents(scorer, recipe, scored, bos)
            learner.forget()
    ledger.check_complete()
    whole.commit(0, ledger.nats)
    whole.order = ledger.order


def rounds_of(recipe: DocumentLora, spans: list[Span]) -> Iterator[list[list[Span]]]:
    """Yield the documents in rounds of batches. A phase ends a round."""
    if recipe.order == "published_by_length":
        spans = sorted(spans, key=lambda span: span[0] - span[1])
    ends = () if recipe.phases is None else recipe.phases.after_documents
    remaining, taken = iter(spans), 0
    for end in (*ends, len(spans)):
        part = list(islice(remaining, max(0, end - taken)))
        taken += len(part)
        batches = [part[at : at + recipe.batch_documents] for at in range(0, len(part), recipe.batch_documents)]
        yield from (batches[at : at + BATCHES_SIDE_BY_SIDE] for at in range(0, len(batches), BATCHES_SIDE_BY_SIDE))


class DocumentScorer:
    """Scores documents chunk by chunk, and adapts after each chunk of a document except its last."""

    def __init__(self, scorer: WindowScorer, recipe: DocumentLora) -> None:
        self.scorer, self.recipe = scorer, recipe
        places = adapter_places(scorer.model, recipe)
        self.places = [place for place in places.values() if place.visits]
        self.rows = {place.number: place.rows for place in self.places}
        self.adapters = Adapters(places, recipe.alpha / recipe.rank)
        self.seed = SEED
        self.firsts = self.fresh_factors()

    def fresh_factors(self) -> list[FirstFactors]:
        """Return the first factors of each batch of a round, all equal."""
        device = self.scorer.world.device
        return [FirstFactors(self.recipe, self.places, device, self.seed) for _ in range(BATCHES_SIDE_BY_SIDE)]

    def forget(self) -> None:
        """Begin again with other first factors."""
        self.seed += 1
        self.firsts = self.fresh_factors()

    def score_round(self, batches: Sequence[Sequence[Span]]) -> None:
        """Score the documents of a round; every process commits all scores."""
        world, ledger = self.scorer.world, self.scorer.ledger
        for at in range(0, len(batches), world.size):
            shared = batches[at : at + world.size]
            if world.rank < len(shared):
                self.score(shared[world.rank], self.firsts[at + world.rank])
            mine = shared[world.rank] if world.rank < len(shared) else []
            nats = [ledger.nats[start:stop] for start, stop in mine] or [np.zeros(0, np.float32)]
            sizes = [sum(stop - start for start, stop in batch) for batch in shared]
            for number, (batch, found) in enumerate(
                zip(shared, world.gather(np.concatenate(nats), sizes), strict=False)
            ):
                if number != world.rank:
                    ends = np.cumsum([stop - start for start, stop in batch])
                    for (start, _), part in zip(batch, np.split(found, ends), strict=False):
                        ledger.commit(start, part)

    def score(self, spans: Sequence[Span], firsts: FirstFactors) -> None:
        """Score the documents of a batch."""
        recipe, ledger = self.recipe, self.scorer.ledger
        batch = AdaptedBatch(recipe, firsts.take(len(spans)), self.rows)
        active, numbers, scored = list(spans), list(range(len(spans))), 0
        while active:
            new = recipe.chunk_at(scored)
            windows = [chunk_window(span, scored, new, recipe.window) for span in active]
            goes_on = [row for row, (start, stop) in enumerate(active) if start + scored + new < stop]
            with self.adapters, torch.set_grad_enabled(bool(goes_on)):
                self.adapters.begin(batch.factors)
                logits_BTV = self.scorer.logits(windows)
            nats = self.scorer.nats(logits_BTV.detach(), windows)
            ends = np.cumsum([window.kept for window in windows])
            for window, part in zip(windows, np.split(nats, ends), strict=False):
                ledger.commit(window.first_target, part)
            done = [row for row in range(len(active)) if row not in goes_on]
            firsts.hand_on(batch.factors, done, [numbers[row] for row in done])
            if goes_on:
                batch.learn(self.loss(logits_BTV, windows, goes_on))
            if done and goes_on:
                batch.keep(torch.tensor(goes_on, device=logits_BTV.device))
            active, numbers = [active[row] for row in goes_on], [numbers[row] for row in goes_on]
            scored += new
            self.scorer.on_progress(ledger.committed)

    def loss(self, logits_BTV: Tensor, windows: Sequence[Window], rows: Sequence[int]) -> Tensor:
        """Return the sum over some documents of the mean nats of the chunk that was scored.

        It is computed from the logits that scored them: weights and inputs have not changed since.
        """
        tokens = [
            self.scorer.ledger.adaptation_tokens(
                windows[row].first_target + 1, windows[row].first_target + 1 + windows[row].scored
            )
            for row in rows
        ]
        targets_BT = torch.from_numpy(np.stack(tokens).astype(np.int64)).to(logits_BTV.device)
        chosen_BTV = logits_BTV[list(rows)]
        return F.cross_entropy(chosen_BTV.flatten(0, 1), targets_BT.flatten(), reduction="sum") / targets_BT.size(1)


def chunk_window(span: Span, scored: int, new: int, window: int) -> Window:
    """Return the window that scores the next targets of a document; it may extend beyond the document and the text."""
    start, stop = span
    first = start + scored
    return window_from(first, new, max(start, first + new - window), stop, first + new)
