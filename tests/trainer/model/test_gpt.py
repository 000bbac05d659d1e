"""The model runs its plan, and looks at the past only."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.trainer.model.reference import baseline_logits
from tests.trainer.small import awake_model, random_tokens, segments_of, small_recipe
from trainer.data.documents import segments_of as segments_in
from trainer.model.gpt import GptModel
from trainer.quantizer.hessians import InputListener
from trainer.recipe.plan import Execution, execution_plan


def with_plan(model: GptModel, plan: tuple[Execution, ...]) -> GptModel:
    model.plan = plan
    return model


def test_reordering_the_plan_changes_the_logits() -> None:
    recipe = small_recipe(model__topology__skips="none")
    tokens_BT = random_tokens(2, 16)
    plan = execution_plan(recipe.model)
    straight, swapped = awake_model(recipe), with_plan(awake_model(recipe), (plan[1], plan[0], *plan[2:]))
    with torch.no_grad():
        assert (straight(tokens_BT) - swapped(tokens_BT)).abs().max() > 1e-3


def test_a_skip_and_a_repeat_in_the_plan_change_the_logits() -> None:
    recipe = small_recipe()
    tokens_BT = random_tokens(1, 16)
    plan = execution_plan(recipe.model)
    without_skip = tuple(replace(execution, pops_skip=None, pushes_skip=False) for execution in plan)
    with torch.no_grad():
        full = awake_model(recipe)(tokens_BT)
        for other in (without_skip, (*plan, replace(plan[0], pushes_skip=False))):
            assert (full - with_plan(awake_model(recipe), other)(tokens_BT)).abs().max() > 1e-3


def test_a_plan_that_changes_finds_its_rotary_tables_built(monkeypatch: pytest.MonkeyPatch) -> None:
    recurrence = {"model__topology__recurrence": "{first: 1, last: 2, loops: 2, from_progress: 0.5}"}
    recipe = small_recipe(**recurrence)
    model = awake_model(recipe)
    monkeypatch.delattr("trainer.model.gpt.Rotary")  # from here on nothing can build one
    for progress in (0.0, 0.49, 0.5, 1.0):
        model.follow_progress(progress)
        assert model.plan == execution_plan(recipe.model, progress)
        assert model(random_tokens(1, 8)).isfinite().all()


@pytest.mark.parametrize("cut", [1, 7, 15])
def test_tokens_from_a_cut_on_leave_all_logits_before_it_identical(cut: int) -> None:
    model = awake_model(small_recipe())
    tokens_BT = random_tokens(1, 16)
    changed_BT = tokens_BT.clone()
    changed_BT[:, cut:] = random_tokens(1, 16, seed=1)[:, cut:]
    with torch.no_grad():
        before, after = model(tokens_BT), model(changed_BT)
    assert torch.equal(before[:, :cut], after[:, :cut])
    assert not torch.equal(before[:, cut:], after[:, cut:])


LATE: dict[str, dict[str, object]] = {
    "flat": {},
    "exclusive and gated": {"model__attention": "{heads: 4, kv_heads: 2, exclusive: ['*'], gate: {kind: dense}}"},
    "lanes": {"model__topology__parallel": "lanes", "model__topology__parallel_from": 2},
    "sums": {"model__topology__parallel": "sum", "model__topology__parallel_from": 2},
    "looped and blended": {
        "model__topology": "{kind: looped, flat_before: 1, looped: 2, loops: 2, flat_after: 0, blend: 0.5}"
    },
    "library": {"compute__attention": "library"},
}


@pytest.mark.parametrize("name", LATE)
@pytest.mark.parametrize("has_documents", [False, True])
def test_the_last_logits_alone_are_the_last_of_all(name: str, has_documents: bool) -> None:
    model = awake_model(small_recipe(**LATE[name]))
    tokens_BT = random_tokens(2, 16)
    segments = segments_of((torch.arange(16) // 6).expand(2, 16)) if has_documents else None
    with torch.no_grad():
        late, whole = (model(tokens_BT, last, segments) for last in (5, None))
    torch.testing.assert_close(late, whole[:, -5:], rtol=1e-4, atol=1e-4)


SHIFTING = """
import torch
from trainer.model.mlp import Mlp

class Shifting(Mlp):
    def __init__(self, width, hidden):
        super().__init__()
        self.down = torch.nn.Parameter(torch.eye(width))

    def forward(self, x_BTD, scale_D):
        before_BTD = torch.nn.functional.pad(x_BTD, (0, 0, 1, 0))[:, :-1]
        return scale_D * (before_BTD @ self.down.T)
"""


def test_an_mlp_of_ones_own_may_look_at_the_token_before(tmp_path: Path) -> None:
    (tmp_path / "shifting.py").write_text(SHIFTING)
    mlp = f"{{kind: 'local:{tmp_path / 'shifting.py'}:Shifting', ratio: 1, tensors: {{down: [width, width]}}}}"
    model, tokens_BT = awake_model(small_recipe(model__mlp=mlp)), random_tokens(2, 16)
    with torch.no_grad():
        torch.testing.assert_close(model(tokens_BT, last=5), model(tokens_BT)[:, -5:], rtol=1e-4, atol=1e-4)


def test_one_key_has_the_last_block_compute_all_of_it() -> None:
    fast, plain = (awake_model(small_recipe(compute__scoring=word)) for word in ("together", "one_by_one"))
    tokens_BT, rows = random_tokens(1, 16), []
    for model in (fast, plain):
        up = model.get_parameter("flat.3.mlp.up")
        with InputListener({"up": up}) as listener, torch.no_grad():
            model(tokens_BT, last=1)
        rows.append(torch.linalg.matrix_rank(listener.sums["up"].double(), rtol=1e-6).item())
    assert rows == [1, 16]


def test_the_softcap_bounds_the_logits() -> None:
    recipe = small_recipe(model__softcap=2.0)
    with torch.no_grad():
        capped = awake_model(recipe)(random_tokens(1, 8))
        free = awake_model(small_recipe(model__softcap=0))(random_tokens(1, 8))
    assert capped.abs().max() <= 2.0
    torch.testing.assert_close(capped, 2.0 * torch.tanh(free / 2.0))


def test_a_fresh_model_predicts_nearly_nothing() -> None:
    recipe = small_recipe()
    torch.manual_seed(0)
    model = GptModel(recipe.model, recipe.vocabulary_size)
    tokens_BT = random_tokens(4, 64)
    loss = torch.nn.functional.cross_entropy(model(tokens_BT).flatten(0, 1), random_tokens(4, 64, seed=9).flatten())
    assert abs(loss.item() - torch.log(torch.tensor(384.0)).item()) < 0.05


@pytest.mark.parametrize("layers", [5, 4, 1])
def test_the_model_is_the_baseline_written_a_second_time(layers: int) -> None:
    attention = "{heads: 4, kv_heads: 2, rope: {dims: 6}}"
    recipe = small_recipe(model__topology__layers=layers, model__attention=attention, model__softcap=30)
    model = awake_model(recipe).double()
    weights = {name: parameter.detach().numpy() for name, parameter in model.named_parameters()}
    tokens = random_tokens(24, seed=2)
    expected = baseline_logits(weights, tokens.tolist(), layers, heads=4, kv_heads=2, dims=6)
    with torch.no_grad():
        found = model(tokens[None])[0].numpy()
    assert np.abs(expected).max() > 2
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_a_packed_document_is_read_as_if_it_stood_alone() -> None:
    model = awake_model(small_recipe())
    tokens_BT = random_tokens(1, 40)
    lengths = [7, 1, 20, 12]
    documents_BT = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))[None]
    with torch.no_grad():
        packed = model(tokens_BT, segments=segments_of(documents_BT))
        alone = torch.cat([model(part) for part in torch.split(tokens_BT, lengths, dim=1)], dim=1)
        one_stream = model(tokens_BT)
    torch.testing.assert_close(packed, alone, atol=2e-5, rtol=0)
    assert (packed - one_stream)[:, 8:].abs().max() > 1e-2


def test_a_row_of_segments_is_each_segment_in_a_pass_of_its_own() -> None:
    """Loss and gradients of a row, and of the same documents in passes of their own, cut after 9 tokens."""
    recipe = small_recipe(compute__precision="float32")
    model = awake_model(recipe).double()
    tokens_BT, targets_BT = random_tokens(2, 40), random_tokens(2, 40, seed=1)
    tokens_BT[tokens_BT == 1] = 2
    tokens_BT[0, [0, 7, 8]] = tokens_BT[1, [3, 30]] = 1
    loss = model.mean_loss(tokens_BT, targets_BT, segments_in(tokens_BT, 1, 9, tokens_BT.device))
    found = torch.autograd.grad(loss, list(model.parameters()))
    total = torch.zeros(())
    starts = [0, 7, 8, 17, 26, 35, 40, 43, 52, 61, 70, 79]
    for start, end in zip(starts, [*starts[1:], 80], strict=True):
        part = slice(start, end)
        total = total + (end - start) / 80 * model.mean_loss(
            tokens_BT.flatten()[None, part], targets_BT.flatten()[None, part]
        )
    expected = torch.autograd.grad(total, list(model.parameters()))
    torch.testing.assert_close(loss, total, rtol=1e-6, atol=0)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)


def numbered(*sizes: int) -> torch.Tensor:
    return torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))[None]


def test_moving_a_bound_changes_only_the_segments_beside_it() -> None:
    model = awake_model(small_recipe())
    tokens_BT = random_tokens(1, 40)
    with torch.no_grad():
        before, after = (
            model(tokens_BT, segments=segments_of(documents))[0]
            for documents in (numbered(10, 10, 10, 10), numbered(10, 13, 7, 10))
        )
    changed = (before - after).abs().amax(-1) > 1e-4
    assert changed.nonzero().flatten().tolist() == list(range(20, 30))
