"""Every kernel against softmax(q k^T / sqrt(E)) v in float64, gradients included."""

import math
from inspect import signature
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend
from torch.nn.attention.varlen import varlen_attn
from torch.profiler import ProfilerActivity, profile

from tests.trainer.small import segments_of
from trainer.model import segment_attention
from trainer.model.attention_kernels import make_attention_function, resolve_kernel
from trainer.model.blocked_attention import blocked_attention
from trainer.model.library_attention import library_attention, padded_attention, pinned_attention
from trainer.recipe.compute import AttentionKernel
from trainer.runtime.failure import LaunchRefused

KERNELS: tuple[AttentionKernel, ...] = ("library", "flash", "padded", "blocked")
# bfloat16 has 8 bits: what is added up from many such products is off by some hundredths.
TOLERANCES = {torch.float32: 2e-5, torch.bfloat16: 4e-2}


def by_formula(q_BHTE: Tensor, k_BKTE: Tensor, v_BKTE: Tensor, may_see_BTT: Tensor, grad_BHTE: Tensor) -> list[Tensor]:
    """Return output and gradients of queries, keys and values, by the formula in float64."""
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
@pytest.mark.parametrize(("length", "asked"), [(1, 1), (100, 100), (128, 128), (300, 300), (300, 1), (300, 150)])
@pytest.mark.parametrize("has_documents", [False, True])
@pytest.mark.parametrize(("heads", "kv_heads", "width"), [(4, 4, 8), (6, 2, 46)])
def test_kernels_are_the_formula(
    kernel: AttentionKernel, dtype: torch.dtype, length: int, asked: int, has_documents: bool, heads: int,
    kv_heads: int, width: int,
) -> None:  # fmt: skip
    torch.manual_seed(length)
    k, v = (torch.randn(2, kv_heads, length, width).to(dtype) for _ in range(2))
    q, grad = (torch.randn(2, heads, asked, width).to(dtype) for _ in range(2))
    documents_BT = torch.arange(length).expand(2, length) // (70 if has_documents else length)
    may_see_BTT = (documents_BT[:, :, None] == documents_BT[:, None, :]).tril()
    expected = by_formula(q, k, v, may_see_BTT[:, -asked:], grad)
    q, k, v = (x.clone().requires_grad_() for x in (q, k, v))
    segments = segments_of(documents_BT) if has_documents else None
    y_BHTE = make_attention_function(kernel, "cpu", width, segments)(q, k, v)
    y_BHTE.backward(grad)  # type: ignore[no-untyped-call]
    found = [y_BHTE.detach(), q.grad, k.grad, v.grad]
    for one, other in zip(found, expected, strict=True):
        assert one is not None
        assert one.dtype == dtype
        limit = TOLERANCES[dtype] * max(1.0, other.abs().max().item())
        torch.testing.assert_close(one.double(), other, atol=limit, rtol=0.0)


@pytest.mark.parametrize("word", ["automatic", "measured"])
def test_where_no_kernel_was_tried_blocks_are_the_rule_on_a_cpu_and_what_won_before_on_a_gpu(
    word: AttentionKernel,
) -> None:
    assert {resolve_kernel(word, "cpu", width) for width in (46, 64)} == {"blocked"}
    assert [resolve_kernel(word, "cuda", width) for width in (46, 52, 56, 64)] == ["padded"] * 2 + ["library"] * 2
    for device_type, width, attention in (
        ("cpu", 64, blocked_attention), ("cuda", 64, library_attention), ("cuda", 46, padded_attention),
    ):  # fmt: skip
        assert make_attention_function(word, device_type, width) is attention


@pytest.mark.filterwarnings("ignore")  # torch's compiler, of its own accord
@pytest.mark.parametrize("asked", [300, 40])
def test_flex_keeps_documents_apart_in_a_graph_and_gives_way_without_one(asked: int) -> None:
    torch.manual_seed(0)
    k, v = (torch.randn(2, 2, 300, 16) for _ in range(2))
    q, grad = (torch.randn(2, 6, asked, 16) for _ in range(2))
    documents_BT = torch.arange(300).expand(2, 300) // 70
    segments = segments_of(documents_BT)

    def attend() -> Tensor:
        return make_attention_function("flex", "cpu", 16, segments)(q, k, v)

    expected = by_formula(q, k, v, (documents_BT[:, :, None] == documents_BT[:, None, :]).tril()[:, -asked:], grad)[0]
    kernels: list[str] = []

    def look(graph: torch.fx.GraphModule, _: object) -> torch.fx.GraphModule:
        kernels.extend(str(node.target) for node in graph.graph.nodes)
        return graph

    for found in (attend(), torch.compile(attend, fullgraph=True, backend=look)()):
        torch.testing.assert_close(found.double(), expected, atol=2e-5, rtol=0.0)
    assert any("flex_attention" in kernel for kernel in kernels) == (asked == 300)


@pytest.mark.filterwarnings("ignore")  # torch 2.11's profiler, of its own accord
@pytest.mark.parametrize(("kernel", "is_flash"), [(SDPBackend.FLASH_ATTENTION, True), (SDPBackend.MATH, False)])
def test_a_kernel_is_the_one_that_was_asked_for(kernel: SDPBackend, is_flash: bool) -> None:
    q, k, v = (torch.randn(1, 2, 8, 4, dtype=torch.float64) for _ in range(3))
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        pinned_attention(kernel, q, k, v)
    assert any("flash_attention" in event.name for event in profiled.events()) == is_flash


def test_a_torch_without_the_kernel_for_unequal_lengths_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment_attention, "HAS_VARLEN", False)
    x = torch.randn(1, 2, 8, 4)
    with pytest.raises(LaunchRefused, match=r"need torch 2\.12 or newer on a GPU, found .*flex"):
        segment_attention.attend_at_once(segments_of(torch.zeros(1, 8)), x, x, x)


def test_the_kernel_for_unequal_lengths_is_called_with_what_this_torch_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs on GPUs only; here something with its signature stands in for it."""
    assert segment_attention.HAS_VARLEN
    parameters = signature(varlen_attn)

    def stand_in(*arguments: Any, **options: Any) -> Tensor:
        given = parameters.bind(*arguments, **options).arguments
        assert given["window_size"] == (-1, 0)
        q, k, v = (given[name].double() for name in ("query", "key", "value"))
        assert q.size(-1) % 8 == 0
        bounds = given["cu_seq_q"].tolist()
        parts = []
        for a, b in pairwise(bounds):
            assert b - a <= given["max_q"]
            wide = (x[a:b].repeat_interleave(q.size(1) // x.size(1), dim=1) for x in (k, v))
            keys, values = wide
            scores = torch.einsum("she,the->hst", q[a:b], keys) * given["scale"]
            hidden = torch.ones(b - a, b - a, dtype=torch.bool).triu(1)
            parts.append(torch.einsum("hst,the->she", scores.masked_fill(hidden, -torch.inf).softmax(-1), values))
        return torch.cat(parts).to(given["query"].dtype)

    monkeypatch.setattr(segment_attention, "varlen_attn", stand_in)
    q, k, v = torch.randn(2, 6, 20, 46), torch.randn(2, 2, 20, 46), torch.randn(2, 2, 20, 46)
    segments = segments_of(torch.arange(20).expand(2, 20) // 7)
    found = segment_attention.attend_at_once(segments, q, k, v)
    expected = segment_attention.attend_one_by_one(segments, blocked_attention, q, k, v)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
