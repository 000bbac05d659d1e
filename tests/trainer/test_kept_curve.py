"""The losses of a run with a fixed seed, kept, and each way of computing it held to them.

The kept ones are those of weights, gradients and the optimizer's state in float64 (logits and Newton-Schulz are float32
as ever), every part by its plain path. What is random in them are weights and tokens drawn by torch's generators; for
another torch that draws otherwise

    python -m tests.trainer.test_kept_curve

prints those to keep.
"""

from typing import Any

import pytest
import torch

import trainer.runtime.device
from tests.trainer.small import VOCABULARY, small_recipe
from trainer.graphs import compile_loss, is_compiled
from trainer.model.gpt import GptModel
from trainer.optimizer.optimizer import make_optimizer
from trainer.quantizer.training import make_training_loss
from trainer.recipe.inventory import inventory
from trainer.runtime.world import SINGLE_PROCESS, World

STEPS, SEQUENCES, LENGTH = 30, 8, 32
PLAIN: dict[str, Any] = {"loss": "plain", "attention": "library", "orthogonalization": "replicated"}
KEPT = [
    5.9533100, 5.7895527, 5.6980324, 5.1834936, 5.0784669, 4.7545276, 4.9108224, 4.0307770, 4.0091534, 3.9510629,
    3.6276271, 3.4061842, 3.1917660, 3.2183425, 3.2412705, 3.1607263, 2.9136519, 2.8152063, 2.6576574, 2.8120716,
    2.8541880, 2.6196465, 2.5869100, 2.4676638, 2.4683306, 2.3825556, 2.4147637, 2.3305292, 2.2635059, 2.5601537,
]  # fmt: skip


def sequences(step: int) -> torch.Tensor:
    """A line on the ring of tokens, most of the time. Shapes: (B, T + 1)."""
    generator = torch.Generator().manual_seed(step)
    tokens_BT = torch.randint(VOCABULARY, (SEQUENCES, LENGTH + 1), generator=generator)
    for place in range(1, LENGTH + 1):
        follows_B = torch.rand(SEQUENCES, generator=generator) < 0.9
        tokens_BT[:, place] = torch.where(follows_B, (tokens_BT[:, place - 1] + 7) % VOCABULARY, tokens_BT[:, place])
    return tokens_BT


def curve(dtype: torch.dtype = torch.float32, world: World = SINGLE_PROCESS, **compute: Any) -> list[float]:
    """The loss of each step, in nats a token."""
    recipe = small_recipe(**{f"compute__{key}": value for key, value in compute.items()})
    torch.manual_seed(1337)
    model = GptModel(recipe.model, VOCABULARY, recipe.compute).to(world.device, dtype)
    parameters, tensors = dict(model.named_parameters()), inventory(recipe.model, VOCABULARY)
    optimizer = make_optimizer(recipe, tensors, dict(parameters), world)
    loss, losses = make_training_loss(recipe.quantizer, tensors, model), []
    if is_compiled(recipe.compute, world.device):
        compile_loss(model, loss, recipe.schedule, lambda micro: loss.mean_loss(micro.x_BT, micro.y_BT, None))
    for step in range(STEPS):
        tokens_BT, multiplier = sequences(step).to(world.device), recipe.schedule.multiplier(step / STEPS)
        loss.begin_step(multiplier)
        nats = loss.mean_loss(tokens_BT[:, :-1], tokens_BT[:, 1:], None)
        nats.backward()  # type: ignore[no-untyped-call]
        optimizer.step(step, multiplier)
        optimizer.forget_gradients()
        losses.append(nats.item())
    return losses


def test_the_plain_path_in_float64_is_what_was_kept() -> None:
    assert curve(torch.float64, **PLAIN) == pytest.approx(KEPT, abs=2e-6)


VARIANTS: dict[str, dict[str, Any]] = {
    "plain": PLAIN,
    "as it comes": {},
    "padded": {"attention": "padded"},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_float32_keeps_to_it_by_every_path(name: str) -> None:
    assert curve(**VARIANTS[name]) == pytest.approx(KEPT, abs=2e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch's compiler, of its own accord
def test_graphs_keep_to_it() -> None:
    assert curve(compile="always") == pytest.approx(KEPT, abs=2e-5)


def test_bfloat16_keeps_near_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer.runtime.device, "cpu_has_bfloat16", lambda: True)  # torch makes do without, slowly
    found = curve(precision="bfloat16", stream="bfloat16")
    assert found == pytest.approx(KEPT, abs=0.1)
    assert found != pytest.approx(KEPT, abs=1e-4)


if __name__ == "__main__":
    print([round(value, 7) for value in curve(torch.float64, **PLAIN)])
