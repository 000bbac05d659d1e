"""The fused loss against its formula in float64, gradients included."""

import pytest
import torch

from tests.trainer.small import awake_model, random_tokens, segments_of, small_recipe
from trainer.model.loss import CHUNK_VALUES, LARGEST_FUSED_SOFTCAP, mean_cross_entropy

ROWS, WIDTH, VOCABULARY = 37, 24, 50


def by_formula(
    x: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, softcap: float
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Return loss and gradients, by the formula in float64."""
    x, weight = (part.detach().double().requires_grad_() for part in (x, weight))
    logits = x @ weight.T
    logits = softcap * torch.tanh(logits / softcap) if softcap else logits
    loss = -torch.log_softmax(logits, dim=-1)[torch.arange(len(targets)), targets].mean()
    loss.backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert weight.grad is not None
    return loss.detach(), [x.grad, weight.grad]


@pytest.mark.parametrize("softcap", [0.0, 5.0, 15.0, 30.0, LARGEST_FUSED_SOFTCAP, 61.0, 200.0])
@pytest.mark.parametrize("scale", [0.1, 3.0, 60.0], ids="scale{}".format)
@pytest.mark.parametrize("chunk_values", [None, 1, 7 * VOCABULARY], ids="chunk{}".format)
def test_loss_and_gradients_are_those_of_the_formula(
    softcap: float, scale: float, chunk_values: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Covers chunks of one row, and a last chunk that is shorter than the others."""
    if chunk_values is not None:
        monkeypatch.setitem(CHUNK_VALUES, "cpu", chunk_values)
    generator = torch.Generator().manual_seed(3)
    x = (scale * torch.randn(ROWS, WIDTH, generator=generator)).requires_grad_()
    weight = torch.randn(VOCABULARY, WIDTH, generator=generator).requires_grad_()
    targets = torch.randint(VOCABULARY, (ROWS,), generator=generator)
    expected, gradients = by_formula(x, weight, targets, softcap)
    loss = mean_cross_entropy(x, weight, targets, softcap)
    (3 * loss).backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(loss.detach().double(), expected, rtol=1e-5, atol=1e-5)
    for found, gradient in zip((x.grad, weight.grad), gradients, strict=True):
        assert found is not None
        torch.testing.assert_close(found.double(), 3 * gradient, rtol=1e-3, atol=1e-5 * max(1.0, scale))


def test_the_training_loss_is_the_cross_entropy_of_the_logits() -> None:
    model = awake_model(small_recipe())
    tokens_BT, targets_BT = random_tokens(3, 20), random_tokens(3, 20, seed=1)
    documents_BT = torch.arange(20).div(6, rounding_mode="floor").expand(3, 20)
    for segments in (None, segments_of(documents_BT)):
        logits_BTV = model(tokens_BT, segments=segments)
        expected = torch.nn.functional.cross_entropy(logits_BTV.flatten(0, 1), targets_BT.flatten())
        torch.testing.assert_close(model.mean_loss(tokens_BT, targets_BT, segments), expected, rtol=1e-5, atol=1e-5)


def test_bfloat16_products_give_nearly_the_formula() -> None:
    """bfloat16 has eight bits: the loss is off by less than 1 %, and gradients point the same way."""
    torch.manual_seed(5)
    x, weight = torch.randn(ROWS, WIDTH, requires_grad=True), torch.randn(VOCABULARY, WIDTH, requires_grad=True)
    targets = torch.randint(VOCABULARY, (ROWS,))
    expected, gradients = by_formula(x, weight, targets, 30.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = mean_cross_entropy(x, weight, targets, 30.0)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(loss.detach().double(), expected, rtol=1e-2, atol=0.0)
    for found, gradient in zip((x.grad, weight.grad), gradients, strict=True):
        assert found is not None
        likeness = torch.nn.functional.cosine_similarity(found.double().flatten(), gradient.flatten(), dim=0)
        assert 0.999 < likeness < 0.9999999  # the upper bound: these were not float32 products


def test_no_tensor_of_the_backward_pass_is_as_large_as_all_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CHUNK_VALUES, "cpu", 4 * VOCABULARY)
    kept: list[torch.Size] = []

    def see(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor.shape)
        return tensor

    x, weight = torch.randn(ROWS, WIDTH, requires_grad=True), torch.randn(VOCABULARY, WIDTH, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(see, lambda tensor: tensor):
        mean_cross_entropy(x, weight, torch.zeros(ROWS, dtype=torch.long), 30.0)
    assert sorted(kept) == [(ROWS, WIDTH), (VOCABULARY, WIDTH)]
