"""No protocol looks ahead: every kind, with cuts inside windows, at chunk edges and at document edges."""

from functools import cache
from unittest.mock import patch

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from pgolf.specs.loading import load_spec
from pgolf.specs.shipped import shipped_specs
from tests.trainer.small import awake_model, random_tokens, small_recipe
from trainer.evaluation.ledger import ScoreLedger
from trainer.evaluation.scoring import score_stream
from trainer.evaluation.window_scorer import WindowScorer
from trainer.evaluation.windows import Window
from trainer.recipe.evaluation import (
    AdamW,
    Chunked,
    ChunkUntil,
    DocumentLora,
    Documents,
    EvaluationRecipe,
    Phases,
    ScoreFirstTtt,
    Sgd,
    Sliding,
)
from trainer.recipe.recipe import Recipe
from trainer.runtime.world import SINGLE_PROCESS

BEGIN = 1
LENGTH = 203
DOCUMENTS = (0, 40, 41, 90, 128, 170)
PROTOCOLS: dict[str, EvaluationRecipe] = {
    "chunked": Chunked(kind="chunked", window=32),
    "sliding": Sliding(kind="sliding", window=32, stride=8),
    "cold": Sliding(kind="sliding", window=32, stride=8, temperature=0.9),
    "document": Documents(kind="document", window=32, stride=8),
    "sgd": ScoreFirstTtt(
        kind="score_first_ttt", window=32, stride=8, chunk_tokens=64, optimizer=Sgd(kind="sgd", lr=0.05), epochs=2
    ),
    "adamw": ScoreFirstTtt(
        kind="score_first_ttt",
        window=32,
        stride=8,
        chunk_tokens=50,
        optimizer=AdamW(kind="adamw", lr=0.01),
        batch_sequences=1,
    ),
    "lora": DocumentLora(kind="document_lora", window=32, chunk_tokens=12, rank=4, lr=0.05),
    "side by side": DocumentLora(
        kind="document_lora", window=32, rank=4, lr=0.05, batch_documents=2,
        chunk_tokens=(ChunkUntil(until=9, tokens=3), ChunkUntil(until=None, tokens=12)), pairs="visit", keep_first=True,
        phases=Phases(after_documents=(2, 4), chunk_tokens=32, lr=0.05),
    ),
}  # fmt: skip
PUBLISHED = sorted(name for name, file in shipped_specs().items() if file.parent.name == "published")
LEARNING = ("sgd", "adamw", "lora")
# Around the borders of windows, chunks and documents; the first ones in every run.
CUTS = [1, 32, 40, 41, 65, 129, 202, 20, 31, 33, 49, 50, 64, 90, 91, 128]
FEW = 7
SOME_CUTS = [pytest.param(cut, marks=() if number < FEW else pytest.mark.slow) for number, cut in enumerate(CUTS)]
Tokens = NDArray[np.uint16]


def stream(seed: int = 3) -> Tokens:
    """Return random tokens in which BEGIN occurs exactly at the first token of each document."""
    tokens = random_tokens(LENGTH, seed=seed).numpy().astype(np.uint16)
    tokens[tokens == BEGIN] = BEGIN + 1
    tokens[list(DOCUMENTS)] = BEGIN
    return tokens


def scored(tokens: Tokens, recipe: EvaluationRecipe, of: Recipe | None = None) -> tuple[NDArray[np.float32], Tensor]:
    """Return the scores in the ledger, and the logits that each target was scored with, in order."""
    model = awake_model(small_recipe() if of is None else of)
    logits: dict[int, Tensor] = {}
    of_batch = WindowScorer.logits

    def listening(scorer: WindowScorer, batch: list[Window]) -> Tensor:
        output_BTV = of_batch(scorer, batch)
        logits.update({w.first_target: row_TV[: w.kept].detach() for w, row_TV in zip(batch, output_BTV, strict=True)})
        return output_BTV

    ledger = ScoreLedger(tokens)
    with patch.object(WindowScorer, "logits", listening):
        score_stream(model, ledger, recipe, SINGLE_PROCESS, BEGIN, lambda _: None)
    return ledger.nats, torch.cat([logits[target] for target in sorted(logits)])


@cache
def scored_unchanged(name: str) -> tuple[NDArray[np.float32], Tensor]:
    """Return what `scored` returns for the stream itself, computed once."""
    return scored(stream(), PROTOCOLS[name])


@pytest.mark.parametrize("cut", SOME_CUTS)
@pytest.mark.parametrize("name", PROTOCOLS)
def test_tokens_from_a_cut_on_leave_all_scores_before_it_identical(name: str, cut: int) -> None:
    tokens = stream()
    changed = tokens.copy()
    changed[cut:] = stream(seed=4)[cut:]
    before, after = scored_unchanged(name)[0], scored(changed, PROTOCOLS[name])[0]
    assert np.array_equal(before[: cut - 1], after[: cut - 1])
    assert not np.array_equal(before[cut - 1 :], after[cut - 1 :])


@pytest.mark.parametrize("position", [each for each in SOME_CUTS if each.values[0] not in DOCUMENTS])
@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_token_does_not_change_the_distribution_it_is_scored_with(name: str, position: int) -> None:
    tokens = stream()
    changed = tokens.copy()
    changed[position] = BEGIN + 2 if tokens[position] != BEGIN + 2 else BEGIN + 3
    (nats, before), (_, after) = scored_unchanged(name), scored(changed, PROTOCOLS[name])
    assert before.shape[0] == LENGTH - 1
    assert torch.equal(before[position - 1], after[position - 1])
    temperature = PROTOCOLS[name].temperature
    expected = -torch.log_softmax(before[position - 1].double() / temperature, dim=0)[int(tokens[position])]
    assert nats[position - 1] == pytest.approx(expected.item(), abs=1e-5)


@pytest.mark.parametrize("place", [place for place in range(2, LENGTH - 1, 16) if place not in DOCUMENTS])
@pytest.mark.parametrize("name", ["document", "lora"])
def test_wherever_a_later_document_begins_scores_before_it_are_identical(name: str, place: int) -> None:
    tokens = stream()
    changed = tokens.copy()
    changed[place] = BEGIN
    before, after = scored_unchanged(name)[0], scored(changed, PROTOCOLS[name])[0]
    assert np.array_equal(before[: place - 1], after[: place - 1])


@pytest.mark.parametrize("name", ["document", "lora"])
def test_scores_do_not_depend_on_where_their_document_ends(name: str) -> None:
    tokens = stream()
    changed = tokens.copy()
    changed[110], changed[128] = BEGIN, BEGIN + 5
    before, after = scored_unchanged(name)[0], scored(changed, PROTOCOLS[name])[0]
    assert np.array_equal(before[:109], after[:109])


@pytest.mark.parametrize("name", LEARNING)
def test_adaptation_changes_scores_after_the_first_chunk_only(name: str) -> None:
    recipe = PROTOCOLS[name]
    plain: EvaluationRecipe = Sliding(kind="sliding", window=32, stride=8)
    first = 64
    if isinstance(recipe, DocumentLora):
        plain, first = Documents(kind="document", window=32, stride=12), 12
    elif isinstance(recipe, ScoreFirstTtt):
        first = recipe.chunk_tokens
    learned, still = scored(stream(), recipe)[0], scored(stream(), plain)[0]
    np.testing.assert_allclose(learned[:first], still[:first], atol=2e-5)
    assert np.abs(learned[first + 16 : first + 27] - still[first + 16 : first + 27]).max() > 1e-3


@pytest.mark.parametrize("name", PUBLISHED)
def test_no_published_model_looks_ahead(name: str) -> None:
    recipe = load_spec(name, ["micro"]).spec.recipe
    learning = ScoreFirstTtt(
        kind="score_first_ttt", window=32, stride=8, chunk_tokens=64, optimizer=Sgd(kind="sgd", lr=0.01), epochs=1
    )
    for protocol in (PROTOCOLS["sliding"], learning):
        tokens = stream()
        before, logits = scored(tokens, protocol, recipe)
        for cut in (64, 91):  # a chunk's edge, and within a window
            later, single = tokens.copy(), tokens.copy()
            later[cut:] = stream(seed=4)[cut:]
            single[cut] = BEGIN + 2 if tokens[cut] != BEGIN + 2 else BEGIN + 3
            (after, _), (_, others) = (scored(each, protocol, recipe) for each in (later, single))
            assert np.array_equal(before[: cut - 1], after[: cut - 1])
            assert not np.array_equal(before[cut - 1 :], after[cut - 1 :])
            assert torch.equal(logits[cut - 1], others[cut - 1])


def test_a_document_is_scored_as_if_it_stood_alone() -> None:
    tokens = stream()
    recipe = PROTOCOLS["document"]
    whole = scored(tokens, recipe)[0]
    for start, stop in zip(DOCUMENTS, (*DOCUMENTS[1:], LENGTH - 1), strict=True):
        alone = scored(tokens[start : stop + 1], recipe)[0]
        np.testing.assert_allclose(whole[start:stop], alone, atol=2e-5)


def test_adapters_are_reset_after_each_document() -> None:
    tokens, recipe = stream(), PROTOCOLS["lora"]
    whole = scored(tokens, recipe)[0]
    alone = scored(tokens[128:171], recipe)[0]
    np.testing.assert_allclose(whole[128:170], alone, atol=2e-5)
