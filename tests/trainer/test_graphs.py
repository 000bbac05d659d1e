"""Compiled steps equal plain ones, also where the plan or rounding changes, and no step compiles anything."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch._dynamo.utils import counters

import trainer.graphs
import trainer.runtime.device
from tests.trainer.small import VOCABULARY, awake_model, random_tokens, small_recipe
from trainer.codec.container import ModelCard
from trainer.data.batches import MicroBatch
from trainer.evaluation.ledger import ScoreLedger
from trainer.evaluation.scoring import score_stream
from trainer.evaluation.validation import ValidationText
from trainer.evaluation.window_scorer import PASS_TOKENS, Forward
from trainer.graphs import LearningGraphs, ScoringGraphs, compile_loss, is_compiled
from trainer.model.gpt import GptModel
from trainer.quantizer.training import TrainingLoss, make_training_loss
from trainer.recipe.compute import Compute
from trainer.recipe.evaluation import DocumentLora, EvaluationRecipe, ScoreFirstTtt, Sgd, Sliding, plain_protocol
from trainer.recipe.inventory import inventory
from trainer.recipe.recipe import Recipe
from trainer.runtime.failure import RunFailure
from trainer.runtime.journal import SilentJournal
from trainer.runtime.world import SINGLE_PROCESS
from trainer.score import ModelScoring

pytestmark = pytest.mark.filterwarnings("ignore")  # of torch's compiler

# A range that recurs from the middle on, and rounding that begins with the last third.
CHANGING = {
    "model__topology__recurrence": "{first: 1, last: 2, loops: 2, from_progress: 0.5}",
    "quantizer__training": "{kind: straight_through, below_lr: 0.4}",
}


@pytest.fixture(autouse=True)
def fresh_compiler() -> Iterator[None]:
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def changing_model(recipe: Recipe) -> tuple[GptModel, TrainingLoss]:
    torch.manual_seed(0)
    model = GptModel(recipe.model, recipe.vocabulary_size, recipe.compute)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model, make_training_loss(recipe.quantizer, inventory(recipe.model, recipe.vocabulary_size), model)


def curve(recipe: Recipe, steps: int, compiled: bool) -> tuple[list[float], list[torch.Tensor]]:
    """Return the loss of each step of plain gradient descent, and the last gradients."""
    model, loss = changing_model(recipe)

    def mean_loss(micro: MicroBatch) -> torch.Tensor:
        return loss.mean_loss(micro.x_BT, micro.y_BT, None)

    if compiled:
        compile_loss(model, loss, recipe.schedule, mean_loss)
        counters["stats"]["unique_graphs_before"] = counters["stats"]["unique_graphs"]
    generator, losses = torch.Generator().manual_seed(1), []
    shape = recipe.schedule.micro_tokens // recipe.schedule.sequence_tokens, recipe.schedule.sequence_tokens + 1
    for step in range(steps):
        tokens_BT = torch.randint(recipe.vocabulary_size, shape, generator=generator)
        model.follow_progress(step / steps)
        loss.begin_step(1 - step / steps)
        value = mean_loss(MicroBatch(tokens_BT[:, :-1], tokens_BT[:, 1:]))
        value.backward()  # type: ignore[no-untyped-call]
        losses.append(value.item())
        gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
        with torch.no_grad():
            for parameter in model.parameters():
                assert parameter.grad is not None
                parameter.sub_(0.5 * parameter.grad)
                parameter.grad = None
    return losses, gradients


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_no_graph_is_made_once_training_runs(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer.graphs, "BACKEND", "eager")
    monkeypatch.setattr(trainer.runtime.device, "cpu_has_bfloat16", lambda: True)  # torch makes do without, slowly
    stream = "bfloat16" if precision == "bfloat16" else "float32"
    recipe = small_recipe(**CHANGING, compute__precision=precision, compute__stream=stream)
    found, _ = curve(recipe, 12, compiled=True)
    assert counters["stats"]["unique_graphs"] == counters["stats"]["unique_graphs_before"] >= 2
    assert not counters["graph_break"]
    torch._dynamo.reset()
    assert found == pytest.approx(curve(recipe, 12, compiled=False)[0], rel=1e-6 if precision == "float32" else 1e-2)


@pytest.mark.slow
def test_compiled_steps_are_the_plain_ones() -> None:
    recipe = small_recipe(**CHANGING)
    (plain, plain_gradients), (found, gradients) = (curve(recipe, 8, compiled) for compiled in (False, True))
    assert found == pytest.approx(plain, rel=1e-5)
    assert found != plain  # the compiler has put sums in another order
    for one, other in zip(gradients, plain_gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-6)


def test_a_compiler_that_fails_names_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no C++ compiler found")

    monkeypatch.setattr(trainer.graphs, "BACKEND", fail)
    recipe = small_recipe()
    model, loss = changing_model(recipe)
    with pytest.raises(RunFailure, match=r"no C\+\+ compiler found.*recipe.compute.compile: never"):
        compile_loss(model, loss, recipe.schedule, lambda micro: loss.mean_loss(micro.x_BT, micro.y_BT, None))


def test_where_graphs_are_made() -> None:
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert not is_compiled(Compute(), cpu)
    assert is_compiled(Compute(), gpu)
    assert is_compiled(Compute(compile="always"), cpu)
    assert not is_compiled(Compute(compile="never"), gpu)


WINDOW, STRIDE = 16, 4
PASSES = 6


def silent(line: str) -> None:
    raise AssertionError(line)


def scored(model: GptModel, recipe: EvaluationRecipe, forward: Forward | None) -> "np.ndarray[Any, Any]":
    # As many windows as fill some forward passes, and a tail that fills none.
    length = WINDOW + STRIDE * PASSES * PASS_TOKENS["cpu"] // WINDOW + 7
    ledger = ScoreLedger(random_tokens(length, seed=1).numpy().astype(np.uint16))
    score_stream(model, ledger, recipe, SINGLE_PROCESS, 1, lambda _: None, forward=forward)
    return ledger.nats


def test_scores_by_graphs_are_the_plain_ones_and_few_shapes_have_a_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer.graphs, "BACKEND", "eager")
    monkeypatch.setattr(trainer.graphs, "PASSES_BEFORE_COMPILE", 3)
    model = awake_model(small_recipe(model__width=32))
    sliding = Sliding(kind="sliding", window=WINDOW, stride=STRIDE)
    graphs = ScoringGraphs(model, silent)
    np.testing.assert_allclose(scored(model, sliding, graphs), scored(model, sliding, None), atol=1e-5)
    assert graphs.shapes.frequent == [(PASS_TOKENS["cpu"] // WINDOW, WINDOW, STRIDE)]
    assert counters["stats"]["unique_graphs"] == 1
    assert not counters["graph_break"]


LEARNING = ScoreFirstTtt(
    kind="score_first_ttt", window=WINDOW, stride=STRIDE, chunk_tokens=64, epochs=1, batch_sequences=2,
    optimizer=Sgd(kind="sgd", lr=0.05), freeze=("flat.0",),
)  # fmt: skip


def check_with_and_without(recipe: EvaluationRecipe, length: int, tolerance: float) -> None:
    """Check that graphs do not change the scores."""
    tokens = random_tokens(length, seed=1).numpy().astype(np.uint16)
    found = []
    for use_graphs in (True, False):
        model, ledger = awake_model(small_recipe(model__width=32)), ScoreLedger(tokens)
        forward = ScoringGraphs(model, silent) if use_graphs else None
        learn = LearningGraphs(model, silent) if use_graphs else None
        score_stream(model, ledger, recipe, SINGLE_PROCESS, 1, lambda _: None, forward=forward, backward=learn)
        found.append(ledger.nats)
    np.testing.assert_allclose(found[0], found[1], atol=tolerance)


def test_graphs_follow_a_model_that_learns_between_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer.graphs, "BACKEND", "eager")
    monkeypatch.setattr(trainer.graphs, "PASSES_BEFORE_COMPILE", 2)
    monkeypatch.setitem(PASS_TOKENS, "cpu", 64)
    check_with_and_without(LEARNING, 400, 1e-4)
    assert counters["stats"]["unique_graphs"] == 2  # one of the scores, one of the loss that is learned from
    assert not counters["graph_break"]


def test_low_rank_additions_are_not_lost_in_a_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer.graphs, "BACKEND", "eager")
    monkeypatch.setattr(trainer.graphs, "PASSES_BEFORE_COMPILE", 1)
    monkeypatch.setitem(PASS_TOKENS, "cpu", 1)
    lora = DocumentLora(kind="document_lora", window=32, chunk_tokens=8, lr=0.05)
    check_with_and_without(lora, 60, 1e-5)


def test_scoring_goes_on_without_graphs_where_there_are_none_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no C++ compiler found")

    monkeypatch.setattr(trainer.graphs, "BACKEND", fail)
    monkeypatch.setattr(trainer.graphs, "PASSES_BEFORE_COMPILE", 2)
    model, said = awake_model(small_recipe(model__width=32)), list[str]()
    sliding = Sliding(kind="sliding", window=WINDOW, stride=STRIDE)
    found = scored(model, sliding, ScoringGraphs(model, said.append))
    assert np.array_equal(found, scored(model, sliding, None))
    assert len(said) == 1
    assert "no C++ compiler found; `recipe.compute.compile: never` turns it off" in said[0]
    assert said[0].endswith("scoring continues without it")


def test_adaptation_goes_on_without_a_graph_where_there_is_none_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails_later(graph: torch.fx.GraphModule, _: object) -> "Callable[..., Any]":
        def run(*arguments: object) -> object:
            graph(*arguments)
            raise RuntimeError("triton: out of shared memory")

        return run

    monkeypatch.setattr(trainer.graphs, "BACKEND", fails_later)
    monkeypatch.setattr(trainer.graphs, "PASSES_BEFORE_COMPILE", 2)
    tokens, found, said = random_tokens(400, seed=1).numpy().astype(np.uint16), [], list[str]()
    for log in (said.append, None):
        model, ledger = awake_model(small_recipe(model__width=32)), ScoreLedger(tokens)
        learn = LearningGraphs(model, log) if log else None
        score_stream(model, ledger, LEARNING, SINGLE_PROCESS, 1, lambda _: None, backward=learn)
        found.append(ledger.nats)
    assert np.array_equal(found[0], found[1])
    assert len(said) == 1
    assert "out of shared memory" in said[0]
    assert said[0].endswith("adaptation continues without it")


@pytest.mark.slow
def test_all_weights_of_a_run_are_scored_by_the_graphs_of_one_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer.graphs, "BACKEND", "eager")
    monkeypatch.setattr(trainer.graphs, "PASSES_BEFORE_COMPILE", 2)
    monkeypatch.setitem(PASS_TOKENS, "cpu", 64)
    recipe = small_recipe(model__width=32)
    tokens = random_tokens(400, seed=1).numpy().astype(np.uint16)
    text = ValidationText(tokens, np.ones(len(tokens) - 1, np.uint16), 1)
    weights = [awake_model(recipe, seed).state_dict() for seed in range(2)]
    nats = []
    for compute in (Compute(compile="always"), Compute()):
        card = ModelCard(
            model=recipe.model,
            vocabulary_size=VOCABULARY,
            quantizer=recipe.quantizer,
            evaluation=LEARNING,
            compute=compute,
        )
        scoring = ModelScoring(card, text, SINGLE_PROCESS, SilentJournal(), lambda *_: None)
        sliding = plain_protocol(LEARNING)
        stages = [("prequant", 0, sliding), ("roundtrip", 1, sliding), ("ttt", 1, LEARNING), ("reference", 0, sliding)]
        nats.append([scoring.score(stage, weights[which], protocol).nats for stage, which, protocol in stages])
    np.testing.assert_allclose(nats[0], nats[1], atol=1e-4)
    assert not np.allclose(nats[0][1], nats[0][2], atol=1e-2)  # it has learned
    assert np.array_equal(nats[0][0], nats[0][3])  # and what it learned is gone
    assert 2 <= counters["stats"]["unique_graphs"] <= 8


@pytest.mark.slow
def test_compiled_scores_are_the_plain_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer.graphs, "PASSES_BEFORE_COMPILE", 2)
    model = awake_model(small_recipe(model__width=32))
    sliding = Sliding(kind="sliding", window=WINDOW, stride=STRIDE)
    found, plain = scored(model, sliding, ScoringGraphs(model, silent)), scored(model, sliding, None)
    np.testing.assert_allclose(found, plain, atol=1e-4)
    assert not np.array_equal(found, plain)  # the compiler has put sums in another order
