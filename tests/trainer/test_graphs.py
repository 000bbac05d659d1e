"""Compiled steps are the plain ones, whatever begins in their midst, and nothing is compiled once training runs."""

from collections.abc import Iterator

import pytest
import torch
from torch._dynamo.utils import counters

import trainer.graphs
from tests.trainer.small import small_recipe
from trainer.data.batches import MicroBatch
from trainer.graphs import is_compiled, make_graphs
from trainer.model.gpt import GptModel
from trainer.quantizer.training import TrainingLoss, make_training_loss
from trainer.recipe.compute import Compute
from trainer.recipe.inventory import inventory
from trainer.recipe.recipe import Recipe
from trainer.runtime.failure import RunFailure

pytestmark = pytest.mark.filterwarnings("ignore")  # torch's compiler, of its own accord

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
    """The loss of each step of plain gradient descent, and the last gradients."""
    model, loss = changing_model(recipe)

    def mean_loss(micro: MicroBatch) -> torch.Tensor:
        return loss.mean_loss(micro.x_BT, micro.y_BT, None)

    if compiled:
        make_graphs(model, loss, recipe.schedule, mean_loss)
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


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_no_graph_is_made_once_training_runs(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer.graphs, "BACKEND", "eager")
    recipe = small_recipe(**CHANGING, compute__precision=precision)
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
        make_graphs(model, loss, recipe.schedule, lambda micro: loss.mean_loss(micro.x_BT, micro.y_BT, None))


def test_where_graphs_are_made() -> None:
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert not is_compiled(Compute(), cpu)
    assert is_compiled(Compute(), gpu)
    assert is_compiled(Compute(compile="always"), cpu)
    assert not is_compiled(Compute(compile="never"), gpu)
