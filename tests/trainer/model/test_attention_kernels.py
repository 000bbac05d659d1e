"""Every kernel against softmax(q k^T / sqrt(E)) v in float64, gradients included."""

import math

import pytest
import torch
from torch import Tensor

from trainer.model.attention_kernels import make_attend
from trainer.recipe.compute import AttentionKernel

KERNELS: tuple[AttentionKernel, ...] = ("library", "padded", "blocked")
# bfloat16 has 8 bits: what is added up from many such products is off by some hundredths.
TOLERANCES = {torch.float32: 2e-5, torch.bfloat16: 4e-2}


def by_formula(q_BHTE: Tensor, k_BKTE: Tensor, v_BKTE: Tensor, may_see_BTT: Tensor, grad_BHTE: Tensor) -> list[Tensor]:
    """Output and gradients of queries, keys and values, in float64, written out."""
    inputs = [x.detach().double().requires_grad_() for x in (q_BHTE, k_BKTE, v_BKTE)]
    group = q_BHTE.size(1) // k_BKTE.size(1)
    rows = []
    for head in range(q_BHTE.size(1)):
        scores_BTT = inputs[0][:, head] @ inputs[1][:, head // group].mT / math.sqrt(q_BHTE.size(-1))
        shares_BTT = torch.softmax(scores_BTT.masked_fill(~may_see_BTT, -torch.inf), dim=-1)
        rows.append(shares_BTT @ inputs[2][:, head // group])
    y_BHTE = torch.stack(rows, dim=1)
    y_BHTE.backward(grad_BHTE.double())  # type: ignore[no-untyped-call]
    return [y_BHTE.detach(), *(x.grad for x in inputs if x.grad is not None)]


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("length", [1, 100, 128, 300])
@pytest.mark.parametrize("has_documents", [False, True])
@pytest.mark.parametrize(("heads", "kv_heads", "width"), [(4, 4, 8), (6, 2, 46)])
def test_kernels_are_the_formula(
    kernel: AttentionKernel, dtype: torch.dtype, length: int, has_documents: bool, heads: int, kv_heads: int, width: int
) -> None:
    torch.manual_seed(length)
    q, k, v, grad = (torch.randn(2, n, length, width).to(dtype) for n in (heads, kv_heads, kv_heads, heads))
    documents_BT = torch.arange(length).expand(2, length) // (70 if has_documents else length)
    may_see_BTT = (documents_BT[:, :, None] == documents_BT[:, None, :]).tril()
    expected = by_formula(q, k, v, may_see_BTT, grad)
    q, k, v = (x.clone().requires_grad_() for x in (q, k, v))
    y_BHTE = make_attend(kernel, "cpu")(q, k, v, may_see_BTT[:, None] if has_documents else None)
    y_BHTE.backward(grad)  # type: ignore[no-untyped-call]
    found = [y_BHTE.detach(), q.grad, k.grad, v.grad]
    for one, other in zip(found, expected, strict=True):
        assert one is not None
        assert one.dtype == dtype
        limit = TOLERANCES[dtype] * max(1.0, other.abs().max().item())
        torch.testing.assert_close(one.double(), other, atol=limit, rtol=0.0)


def test_blocks_are_the_rule_on_a_cpu_and_nowhere_else() -> None:
    on_cpu, on_gpu = make_attend("automatic", "cpu"), make_attend("automatic", "cuda")
    assert (on_cpu.__name__, on_gpu.__name__) == ("blocked_attention", "library_attention")
