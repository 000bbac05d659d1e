"""RoundedLoss uses the export grid, passes gradients to float weights, and detects rounding without effect."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.trainer.small import awake_model, random_tokens, small_recipe
from trainer.model.gpt import GptModel
from trainer.quantizer.quantizer import NOT_CALIBRATED, quantize_model
from trainer.quantizer.straight_through import RoundedLoss, soft_round
from trainer.quantizer.training import LossModule
from trainer.recipe.inventory import inventory
from trainer.recipe.quantizer import PublishedTrainingGrid, StraightThrough
from trainer.recipe.recipe import Recipe
from trainer.runtime.failure import TrainingFailed

X_BT, Y_BT = random_tokens(2, 16), random_tokens(2, 16, seed=9)
BITS = "{default: 4, embedding: 8}"


def rounded_loss(training: StraightThrough, pruned: float = 0.0) -> tuple[Recipe, GptModel, RoundedLoss]:
    recipe = small_recipe(quantizer__bits=BITS, quantizer__clip__k="{default: 3.0}", quantizer__pruned=pruned)
    model = awake_model(recipe)
    tensors = inventory(recipe.model, recipe.vocabulary_size)
    return recipe, model, RoundedLoss(recipe.quantizer, training, tensors, model, LossModule(model))


def straight(**changes: object) -> StraightThrough:
    return StraightThrough(kind="straight_through", **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("tables", [False, True])
@pytest.mark.parametrize("pruned", [0.0, 0.15])
def test_training_sees_exactly_the_weights_that_are_exported(tables: bool, pruned: float) -> None:
    recipe, model, loss = rounded_loss(straight(tables=tables), pruned)
    loss.begin_step(1.0)
    found = loss.mean_loss(X_BT, Y_BT, None)
    tensors = inventory(recipe.model, recipe.vocabulary_size)
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    exported = quantize_model(recipe.quantizer, tensors, weights, NOT_CALIBRATED).dequantize()
    rounded_names = [t.name for t in tensors if t.group in ("attention", "mlp") or (tables and t.group == "embedding")]
    twin = awake_model(recipe)
    twin.load_state_dict(weights | {name: exported[name] for name in rounded_names})
    torch.testing.assert_close(found, twin.mean_loss(X_BT, Y_BT, None), atol=1e-5, rtol=0)
    assert abs(found.item() - model.mean_loss(X_BT, Y_BT, None).item()) > 1e-3


def test_gradients_are_those_at_the_rounded_weights_and_reach_the_float_ones() -> None:
    recipe, model, loss = rounded_loss(straight())
    loss.begin_step(1.0)
    loss.mean_loss(X_BT, Y_BT, None).backward()  # type: ignore[no-untyped-call]
    twin = awake_model(recipe)
    with torch.no_grad():
        for name, offset in loss.offsets.items():
            dict(twin.named_parameters())[name].add_(offset)
    twin.mean_loss(X_BT, Y_BT, None).backward()  # type: ignore[no-untyped-call]
    for (name, parameter), other in zip(model.named_parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, other.grad, atol=1e-5, rtol=1e-4, msg=name)


def test_rounding_begins_at_a_low_learning_rate_and_is_probed_once() -> None:
    _, model, loss = rounded_loss(straight(below_lr=0.5))
    assert not loss.begin_step(0.9)
    assert loss.mean_loss(X_BT, Y_BT, None).item() == model.mean_loss(X_BT, Y_BT, None).item()
    assert loss.begin_step(0.5)
    assert loss.probe(X_BT, Y_BT, None).startswith("rounding of 24 matrices begins: the loss of a batch goes from")
    assert not loss.begin_step(0.4)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_rounding_without_effect_is_an_error() -> None:
    _, model, loss = rounded_loss(straight())
    with torch.no_grad():  # every branch ends in zeros
        for name, parameter in model.named_parameters():
            if name.endswith(("attention.output", "mlp.down")):
                parameter.zero_()
    for _ in range(3):
        assert loss.begin_step(1.0)
        assert "trying again" in loss.probe(X_BT, Y_BT, None)
    loss.begin_step(1.0)
    with pytest.raises(TrainingFailed, match="rounding 24 matrices does not change the loss of a batch"):
        loss.probe(X_BT, Y_BT, None)


def test_a_matrix_that_gets_no_gradient_is_named() -> None:
    _, model, loss = rounded_loss(straight())
    loss.parameters["stranger"] = torch.nn.Parameter(torch.randn(4, 4))
    loss.begin_step(1.0)
    loss.module.forward = lambda *_: model.mean_loss(X_BT, Y_BT) + 0.0 * loss.parameters["flat.0.mlp.up"].sum()
    with pytest.raises(TrainingFailed, match="stranger is rounded in training but is not part of the loss"):
        loss.probe(X_BT, Y_BT, None)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_a_compiled_forward_pass_sees_rounding_begin() -> None:
    """Published scripts switched a flag that their compiled graph treated as a constant."""
    _, _, loss = rounded_loss(straight(below_lr=0.5))
    loss.module.compile(backend="eager")
    loss.begin_step(1.0)
    plain = loss.mean_loss(X_BT, Y_BT, None)
    loss.begin_step(0.4)
    rounded = loss.mean_loss(X_BT, Y_BT, None)
    assert abs(plain.item() - rounded.item()) > 1e-3
    rounded.backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in loss.parameters.values())


def test_soft_rounding_goes_from_the_identity_to_the_nearest_integer() -> None:
    u = torch.linspace(-3, 3, 601, dtype=torch.float64)
    inside = u[((u - u.floor()) - 0.5).abs() > 1e-6]
    torch.testing.assert_close(soft_round(u, 1e-3), u, atol=1e-6, rtol=0)
    torch.testing.assert_close(soft_round(inside, 1e6), inside.round(), atol=1e-9, rtol=0)
    sharpness = 5.0
    by_formula = torch.tensor([soft_by_formula(value.item(), sharpness) for value in u], dtype=torch.float64)
    torch.testing.assert_close(soft_round(u, sharpness), by_formula, atol=1e-12, rtol=0)


def soft_by_formula(u: float, a: float) -> float:
    from math import floor, tanh

    return floor(u) + 0.5 + tanh(a * (u - floor(u) - 0.5)) / (2 * tanh(a / 2))


def test_softness_goes_down_with_the_learning_rate() -> None:
    _, _, loss = rounded_loss(straight(softness=1.0))
    distances: list[Tensor] = []
    for multiplier in (1.0, 0.2, 0.01):
        loss.begin_step(multiplier)
        hard = RoundedLoss.__new__(RoundedLoss)
        hard.__dict__.update(loss.__dict__ | {"training": straight()})
        hard.begin_step(1.0)
        distances.append(max((loss.offsets[name] - hard.offsets[name]).abs().max() for name in loss.offsets))
    assert distances[0] > distances[1] > distances[2]


def test_the_published_grid_differs_from_the_export_grid() -> None:
    published = PublishedTrainingGrid(bits={"default": 4, "flat.0": 6}, scale_floor=0.001)
    _, model, loss = rounded_loss(straight(published_grid=published))
    loss.begin_step(1.0)
    for name, levels in (("flat.0.mlp.up", 31), ("flat.1.mlp.up", 7)):
        w_RC = dict(model.named_parameters())[name].detach()
        steps_R1 = (w_RC.abs().amax(dim=1, keepdim=True) / levels).clamp_min(0.001)
        expected = (w_RC / steps_R1).round() * steps_R1
        torch.testing.assert_close(w_RC + loss.offsets[name], expected, atol=1e-6, rtol=0)


def test_no_matrix_to_round_is_an_error() -> None:
    recipe = small_recipe(quantizer__float_up_to=1_000_000)
    with pytest.raises(TrainingFailed, match="no matrix is large enough"):
        RoundedLoss(
            replace(recipe.quantizer),
            straight(),
            inventory(recipe.model, recipe.vocabulary_size),
            model := awake_model(recipe),
            LossModule(model),
        )
