"""Tests that need a GPU; skipped without one."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.trainer.model.test_attention_kernels import by_formula
from tests.trainer.small import awake_model, random_tokens, segments_of, small_recipe
from tests.trainer.test_kept_curve import KEPT, PLAIN, curve
from trainer.model.attention_kernels import make_attention_function
from trainer.model.loss import mean_cross_entropy
from trainer.recipe.compute import AttentionKernel
from trainer.runtime.world import World

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
    pytest.mark.filterwarnings("ignore"),  # torch's compiler, of its own accord
]
GPU = torch.device("cuda")


def relative_error(found: Tensor, expected: Tensor) -> float:
    return float((found.double() - expected).norm() / expected.norm())


@pytest.mark.parametrize("kernel", ["library", "flash", "cudnn", "padded"])
@pytest.mark.parametrize("has_documents", [False, True])
@pytest.mark.parametrize(("heads", "kv_heads", "width"), [(4, 4, 64), (6, 2, 46), (6, 3, 52)])
@pytest.mark.parametrize("asked", [300, 40])
def test_kernels_are_the_formula(
    kernel: AttentionKernel, has_documents: bool, heads: int, kv_heads: int, width: int, asked: int
) -> None:
    torch.manual_seed(width)
    k, v = (torch.randn(2, kv_heads, 300, width, device=GPU, dtype=torch.bfloat16) for _ in range(2))
    q, grad = (torch.randn(2, heads, asked, width, device=GPU, dtype=torch.bfloat16) for _ in range(2))
    documents_BT = torch.arange(300, device=GPU).expand(2, 300) // (70 if has_documents else 300)
    may_see_BTT = (documents_BT[:, :, None] == documents_BT[:, None, :]).tril()
    expected = by_formula(q, k, v, may_see_BTT[:, -asked:], grad)
    inputs = [x.clone().requires_grad_() for x in (q, k, v)]
    if kernel == "cudnn" and width % 8 and not has_documents and asked == 300:
        pytest.skip(f"cuDNN takes no heads of {width}")
    attend = make_attention_function(kernel, "cuda", width, segments_of(documents_BT) if has_documents else None)
    y_BHTE = attend(*inputs)
    found = [y_BHTE, *torch.autograd.grad(y_BHTE, inputs, grad)]
    assert max(relative_error(one, other) for one, other in zip(found, expected, strict=True)) < 1e-2


COMPUTE: dict[str, tuple[dict[str, Any], float]] = {
    "plain, float32": ({**PLAIN, "precision": "float32", "compile": "never"}, 1e-4),
    "float32, compiled": ({"precision": "float32"}, 1e-4),
    "as it comes": ({}, 0.1),
    "not compiled": ({"compile": "never"}, 0.1),
    "cuDNN": ({"attention": "cudnn"}, 0.1),
    "padded": ({"attention": "padded"}, 0.1),
}


@pytest.mark.parametrize("name", COMPUTE)
def test_a_gpu_keeps_to_the_kept_curve(name: str) -> None:
    compute, tolerance = COMPUTE[name]
    torch.set_float32_matmul_precision("highest")
    assert curve(world=World(GPU), **compute) == pytest.approx(KEPT, abs=tolerance)


def test_documents_are_kept_apart_in_one_graph() -> None:
    recipe = small_recipe(schedule__loader="{kind: document_packing}", compute__stream="float32")
    tokens_BT = random_tokens(4, 257).to(GPU)
    documents_BT = torch.arange(256, device=GPU).expand(4, 256) // 70
    found = []
    trials: list[tuple[AttentionKernel, bool]] = [("library", False), ("flex", False), ("flex", True)]
    for attention, is_compiled in trials:
        model = awake_model(replace(recipe, compute=replace(recipe.compute, attention=attention))).to(GPU)
        mean_loss = torch.compile(model.mean_loss, fullgraph=True, dynamic=False) if is_compiled else model.mean_loss
        loss = mean_loss(tokens_BT[:, :-1], tokens_BT[:, 1:], segments_of(documents_BT))
        found.append([loss.detach(), *torch.autograd.grad(loss, list(model.parameters()))])
    for one in found[1:]:
        errors = [relative_error(tensor, other.double()) for tensor, other in zip(one, found[0], strict=True)]
        assert max(errors) < 3e-2


def test_no_logits_of_the_whole_vocabulary_exist_in_float32() -> None:
    rows, width, vocabulary = 32_768, 256, 8_192
    x_ND = torch.randn(rows, width, device=GPU, requires_grad=True)
    weight_VD = torch.randn(vocabulary, width, device=GPU, requires_grad=True)
    targets_N = torch.randint(vocabulary, (rows,), device=GPU)

    def loss(x_ND: Tensor, weight_VD: Tensor, targets_N: Tensor) -> Tensor:
        with torch.autocast("cuda", dtype=torch.bfloat16):
            return mean_cross_entropy(x_ND, weight_VD, targets_N, 30.0)

    compiled = torch.compile(loss, fullgraph=True, dynamic=False)
    torch.autograd.grad(compiled(x_ND, weight_VD, targets_N), (x_ND, weight_VD))
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    torch.autograd.grad(compiled(x_ND, weight_VD, targets_N), (x_ND, weight_VD))
    assert torch.cuda.max_memory_allocated() - before < 2 * rows * vocabulary  # nor in bfloat16
