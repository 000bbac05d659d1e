"""Scores equal a recomputation of each target alone, and do not depend on later tokens."""

import numpy as np
import pytest
import torch

from tests.trainer.small import awake_model, random_tokens, small_recipe
from trainer.evaluation.ledger import ScoreLedger
from trainer.evaluation.scoring import score_stream
from trainer.recipe.evaluation import Chunked, EvaluationRecipe, Sliding
from trainer.runtime.world import SINGLE_PROCESS

PROTOCOLS = [Chunked(kind="chunked", window=32), Sliding(kind="sliding", window=32, stride=8)]


def stream(length: int = 203, seed: int = 3) -> "np.ndarray[tuple[int], np.dtype[np.uint16]]":
    return random_tokens(length, seed=seed).numpy().astype(np.uint16)


def scored(tokens: "np.ndarray[tuple[int], np.dtype[np.uint16]]", recipe: EvaluationRecipe) -> ScoreLedger:
    ledger = ScoreLedger(tokens)
    score_stream(awake_model(small_recipe()), ledger, recipe, SINGLE_PROCESS, 1, lambda _: None)
    return ledger


def context_start(recipe: Chunked | Sliding, target: int, targets: int) -> int:
    """Return the first input token that the protocol shows for a target."""
    if isinstance(recipe, Chunked):
        return target // recipe.window * recipe.window
    if target < recipe.window:
        return 0
    end = recipe.window + -(-(target + 1 - recipe.window) // recipe.stride) * recipe.stride
    return min(end, targets) - recipe.window


@pytest.mark.parametrize("recipe", PROTOCOLS, ids=lambda recipe: recipe.kind)
def test_each_score_equals_a_recomputation_of_its_target_alone(recipe: Chunked | Sliding) -> None:
    tokens = stream()
    ledger = scored(tokens, recipe)
    model = awake_model(small_recipe()).double()
    for target in range(len(tokens) - 1):
        start = context_start(recipe, target, len(tokens) - 1)
        inputs = torch.from_numpy(tokens[start : target + 1].astype(np.int64))[None]
        with torch.no_grad():
            expected = -torch.log_softmax(model(inputs).double()[0, -1], dim=0)[int(tokens[target + 1])].item()
        assert abs(ledger.nats[target] - expected) < 2e-4, target


@pytest.mark.parametrize("recipe", PROTOCOLS, ids=lambda recipe: recipe.kind)
@pytest.mark.parametrize("cut", [1, 31, 32, 33, 40, 100, 202])
def test_tokens_from_a_cut_on_leave_all_scores_before_it_identical(recipe: EvaluationRecipe, cut: int) -> None:
    tokens = stream()
    changed = tokens.copy()
    changed[cut:] = stream(seed=4)[cut:]
    before, after = scored(tokens, recipe).nats, scored(changed, recipe).nats
    assert np.array_equal(before[: cut - 1], after[: cut - 1])
    assert not np.array_equal(before[cut - 1 :], after[cut - 1 :])


def test_scoring_one_by_one_gives_the_same_scores() -> None:
    sliding, nats, shapes = Sliding(kind="sliding", window=32, stride=8), [], []
    for word in ("together", "one_by_one"):
        model, ledger, seen = awake_model(small_recipe(compute__scoring=word)), ScoreLedger(stream()), list[int]()
        handle = model.embedding.register_forward_pre_hook(lambda _, inputs, seen=seen: seen.append(len(inputs[0])))
        score_stream(model, ledger, sliding, SINGLE_PROCESS, 1, lambda _: None)
        handle.remove()
        nats.append(ledger.nats)
        shapes.append(seen)
    np.testing.assert_allclose(nats[0], nats[1], atol=1e-5)
    assert max(shapes[0]) > 1
    assert shapes[1] == [1] * (1 + -(-(202 - 32) // 8))
