"""Adapters of documents: side by side as one at a time, and as another implementation by forward hooks."""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from tests.trainer.evaluation import shared_documents
from tests.trainer.small import awake_model, random_tokens, small_recipe
from trainer.evaluation.document_ledger import DocumentLedger
from trainer.evaluation.document_lora import BATCHES_SIDE_BY_SIDE, DocumentScorer, rounds_of
from trainer.evaluation.ledger import LedgerViolation, ScoreLedger
from trainer.evaluation.scoring import score_stream
from trainer.evaluation.window_scorer import WindowScorer
from trainer.evaluation.windows import document_spans
from trainer.model.block import Block
from trainer.model.gpt import GptModel
from trainer.model.linear import linear
from trainer.recipe.evaluation import ChunkUntil, DocumentLora, Phases
from trainer.recipe.recipe import Recipe
from trainer.runtime.world import SINGLE_PROCESS

ROOT = Path(__file__).parent.parent.parent.parent
BEGIN, LENGTH = 1, 231
DOCUMENTS = (0, 40, 41, 90, 128, 170, 182, 200)
GROWING = (ChunkUntil(until=8, tokens=4), ChunkUntil(until=24, tokens=8), ChunkUntil(until=None, tokens=12))
LORA = DocumentLora(kind="document_lora", window=32, chunk_tokens=12, rank=3, alpha=5.0, lr=0.02, beta1=0.5)
LOOPED = {"model__topology__recurrence": "{first: 1, last: 2, loops: 3}"}


def stream(seed: int = 3) -> NDArray[np.uint16]:
    tokens = random_tokens(LENGTH, seed=seed).numpy().astype(np.uint16)
    tokens[tokens == BEGIN] = BEGIN + 1
    tokens[list(DOCUMENTS)] = BEGIN
    return tokens


def scored(recipe: DocumentLora, of: Recipe | None = None, tokens: NDArray[np.uint16] | None = None) -> ScoreLedger:
    """Return the ledger of a text that a model in float64 has scored."""
    ledger = ScoreLedger(stream() if tokens is None else tokens)
    model = awake_model(small_recipe() if of is None else of).double()
    score_stream(model, ledger, recipe, SINGLE_PROCESS, BEGIN, lambda _: None)
    return ledger


@pytest.mark.parametrize("pairs", ["matrix", "visit"])
@pytest.mark.parametrize("chunks", [12, GROWING], ids=["one length", "growing"])
@pytest.mark.parametrize("documents", [3, 64])
def test_documents_side_by_side_score_as_one_at_a_time(pairs: Any, chunks: Any, documents: int) -> None:
    recipe = replace(LORA, pairs=pairs, chunk_tokens=chunks)
    alone, together = scored(recipe), scored(replace(recipe, batch_documents=documents))
    np.testing.assert_allclose(together.nats, alone.nats, atol=3e-6)
    assert together.order is None


def test_the_order_by_length_gives_the_same_scores_where_documents_share_nothing() -> None:
    ordered = scored(replace(LORA, order="published_by_length", batch_documents=2))
    np.testing.assert_allclose(ordered.nats, scored(LORA).nats, atol=3e-6)
    lengths = np.diff([*DOCUMENTS, LENGTH - 1])
    assert ordered.order is not None
    assert np.array_equal(ordered.order, np.argsort(-lengths, kind="stable"))


class HookedAdapters:
    """The adapters of one document by forward hooks: queries, keys and values, attention, MLP, and the head."""

    def __init__(self, model: GptModel, recipe: DocumentLora, first: dict[tuple[str, int], Tensor]) -> None:
        self.model, self.factor = model, recipe.alpha / recipe.rank
        self.visits: Counter[str] = Counter()
        self.pairs = {
            key: (a_PC.clone().requires_grad_(), torch.zeros(self.rows(key[0]), recipe.rank).double().requires_grad_())
            for key, a_PC in first.items()
        }

    def rows(self, name: str) -> int:
        return dict(self.model.named_parameters())[name].size(0)

    def added(self, name: str, x_BTC: Tensor) -> Tensor:
        a_PC, b_RP = self.pairs[name, self.visits[name]]
        self.visits[name] += 1
        added_BTR: Tensor = self.factor * (x_BTC @ a_PC.T @ b_RP.T)
        return added_BTR

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Change the model's products and branches."""
        named = {id(parameter): name for name, parameter in self.model.named_parameters()}
        self.visits.clear()

        def product(x_BTC: Tensor, w_RC: Tensor, scale_R: Tensor | None = None) -> Tensor:
            y_BTR, name = linear(x_BTC, w_RC, scale_R), named[id(w_RC)]
            return y_BTR if name.endswith("output") else y_BTR.add(self.added(name, x_BTC))

        def beside_attention(name: str, _: Any, args: Any, result: Any) -> Any:
            x_BTD, scale_D, inputs = args
            return result[0] + scale_D * inputs.needed(self.added(name, x_BTD)), result[1]

        def beside_mlp(name: str, _: Any, args: Any, result: Tensor) -> Tensor:
            return torch.addcmul(result, args[1], self.added(name, args[0]))

        handles = []
        for name, block in self.model.named_modules():
            if isinstance(block, Block):
                attention, mlp = f"{name}.attention.output", f"{name}.mlp.down"
                handles.append(block.attention.register_forward_hook(lambda *a, n=attention: beside_attention(n, *a)))
                handles.append(block.mlp.register_forward_hook(lambda *a, n=mlp: beside_mlp(n, *a)))
        with patch("trainer.model.grouped_query.linear", product), patch("trainer.model.gpt.linear", product):
            yield
        for handle in handles:
            handle.remove()


def first_factors(learner: DocumentScorer, model: GptModel) -> dict[tuple[str, int], Tensor]:
    """Return the first factors by the name of the matrix and the visit."""
    named = {id(parameter): name for name, parameter in model.named_parameters()}
    of_number = {place.number: named[key] for key, place in learner.adapters.places.items() if place.visits}
    return {(of_number[n], visit): a_BPC[0].double() for (n, visit), a_BPC in learner.firsts[0].take(1).items()}


@pytest.mark.parametrize("looped", [False, True])
def test_scores_are_those_of_hooks_and_of_torchs_adamw(looped: bool) -> None:
    """One document, its chunks one by one; the last window reaches beyond the document."""
    of = small_recipe(**(LOOPED if looped else {}))
    recipe = replace(LORA, pairs="visit")
    tokens = stream()[: DOCUMENTS[1] + 1]
    model = awake_model(of).double()
    scorer = WindowScorer(model, DocumentLedger(tokens, 32), 1.0, SINGLE_PROCESS, lambda _: None)
    first = first_factors(DocumentScorer(scorer, recipe), model)
    visited = Counter(name for name, _ in first)
    assert visited["flat.1.attention.query"] == visited["flat.1.mlp.down"] == (3 if looped else 1)
    hooked = HookedAdapters(model, recipe, first)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    optimizer = torch.optim.AdamW(
        [factor for pair in hooked.pairs.values() for factor in pair], lr=recipe.lr, betas=(0.5, recipe.beta2),
        eps=recipe.epsilon, weight_decay=recipe.weight_decay,
    )  # fmt: skip
    x_T, expected = torch.from_numpy(np.pad(tokens, (0, 32)).astype(np.int64)), []
    for begin in range(0, len(tokens) - 1, 12):
        start = max(0, begin + 12 - 32)
        with hooked.applied():
            logits_TV = model(x_T[None, start : begin + 12])[0, -12:]
        nats_T = F.cross_entropy(logits_TV, x_T[begin + 1 : begin + 13], reduction="none")
        expected.append(nats_T.detach()[: len(tokens) - 1 - begin])
        optimizer.zero_grad()
        nats_T.mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    found = scored(recipe, of, tokens)
    np.testing.assert_allclose(found.nats, torch.cat(expected).numpy(), atol=3e-6)


def test_first_factors_go_on_from_the_document_before_in_its_place() -> None:
    """Nine rounds of one batch: the ninth document begins where the first one ended, and none of the others does."""
    starts = tuple(range(0, 20 * (BATCHES_SIDE_BY_SIDE + 1), 20))
    tokens = random_tokens(starts[-1] + 21, seed=5).numpy().astype(np.uint16)
    tokens[tokens == BEGIN] = BEGIN + 1
    tokens[list(starts)] = BEGIN
    ledger = ScoreLedger(tokens)
    spans = list(document_spans(list(starts), len(ledger.nats)))
    recipe = replace(LORA, keep_first=True)
    assert [len(batches) for batches in rounds_of(recipe, spans)] == [BATCHES_SIDE_BY_SIDE, 1]
    kept, fresh = scored(recipe, tokens=tokens), scored(LORA, tokens=tokens)
    first_of_last = spans[-1][0]
    np.testing.assert_array_equal(kept.nats[:first_of_last], fresh.nats[:first_of_last])
    np.testing.assert_array_equal(kept.nats[first_of_last:][:12], fresh.nats[first_of_last:][:12])  # B is zero
    assert np.abs(kept.nats[first_of_last + 12 :] - fresh.nats[first_of_last + 12 :]).max() > 1e-4
    pair = np.concatenate((tokens[:20], tokens[first_of_last:]))
    one_after_another = replace(recipe, batch_documents=1)
    with patch("trainer.evaluation.document_lora.BATCHES_SIDE_BY_SIDE", 1):
        alone = scored(one_after_another, tokens=pair)
    np.testing.assert_allclose(alone.nats[20:], kept.nats[first_of_last:], atol=3e-6)


def test_a_phase_trains_all_weights_as_sgd_by_hand() -> None:
    phases = Phases(after_documents=(3, 5), chunk_tokens=32, lr=0.05, momentum=0.5, clip_norm=0.7)
    recipe, tokens = replace(LORA, lr=0.0, phases=phases), stream()
    found = scored(recipe)
    plain = scored(replace(LORA, lr=0.0))
    np.testing.assert_array_equal(found.nats[: DOCUMENTS[3]], plain.nats[: DOCUMENTS[3]])
    # By hand: the first three documents have 90 tokens and the token after them, which are two rows of 32. A step takes
    # one of them; the second one is left out, so that the only step has the whole learning rate.
    model = awake_model(small_recipe()).double()
    rows_NT = torch.from_numpy(np.stack([tokens[:33]]).astype(np.int64))
    losses = list[Tensor]()
    for row_T in rows_NT:
        cuts = [0, *[place for place in range(1, 32) if int(row_T[place]) == BEGIN], 32]
        for begin, end in pairwise(cuts):
            logits_TV = model(row_T[None, begin:end])[0]
            losses.append(F.cross_entropy(logits_TV, row_T[begin + 1 : end + 1], reduction="sum"))
    (torch.stack(losses).sum() / 32).backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(model.parameters(), 0.7)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter.sub_(parameter.grad, alpha=0.05)
    ledger = ScoreLedger(tokens[DOCUMENTS[3] : DOCUMENTS[5] + 1])
    score_stream(model, ledger, replace(LORA, lr=0.0), SINGLE_PROCESS, BEGIN, lambda _: None)
    np.testing.assert_allclose(found.nats[DOCUMENTS[3] : DOCUMENTS[5]], ledger.nats, atol=3e-6)
    assert np.abs(found.nats[DOCUMENTS[3] : DOCUMENTS[5]] - plain.nats[DOCUMENTS[3] : DOCUMENTS[5]]).max() > 1e-3


def test_adaptation_to_unscored_tokens_is_a_violation() -> None:
    """A scorer that learns before it commits gets no tokens."""
    of_batch = DocumentLedger.commit

    def late(ledger: DocumentLedger, start: int, nats: NDArray[np.float32]) -> None:
        if start < 40:
            of_batch(ledger, start, nats)

    with patch.object(DocumentLedger, "commit", late), pytest.raises(LedgerViolation, match="before it was scored"):
        scored(LORA)


def test_three_processes_score_as_one(tmp_path: Path) -> None:
    """Phases, kept factors and the order by length: all that depends on other documents."""
    module = shared_documents.shared_scores.__module__
    processes = [
        subprocess.Popen([sys.executable, "-m", module, str(rank), "3", str(tmp_path)], cwd=ROOT) for rank in range(3)
    ]
    torch.set_num_threads(1)
    alone = shared_documents.shared_scores(0, 1)
    assert [process.wait(timeout=120) for process in processes] == [0, 0, 0]
    for rank in range(3):
        assert np.load(tmp_path / f"{rank}.npy").tobytes() == alone.nats.tobytes()
    assert alone.order is not None and len(alone.order) > 16
