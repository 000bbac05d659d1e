"""The FlashAttention package as pgolf calls it: stand-ins with the signatures of both versions, against the formula."""

import math
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.trainer.small import awake_model, random_tokens, segments_of, small_recipe
from trainer.model.flash_attention import kernel, make_flash_attention, require_flash_attention
from trainer.runtime.failure import LaunchRefused


def rows_attention(q: Tensor, k: Tensor, v: Tensor, scale: float, causal: bool) -> Tensor:
    """Attention of (T, H, E), with the last query beside the last key."""
    assert q.dtype == k.dtype == v.dtype in (torch.bfloat16, torch.float16)
    assert q.size(-1) % 8 == 0
    assert causal
    k, v = (x.repeat_interleave(q.size(1) // k.size(1), dim=1) for x in (k, v))
    scores = torch.einsum("she,the->hst", q.float(), k.float()) * scale
    hidden = torch.ones(len(q), len(k), dtype=torch.bool).tril(len(k) - len(q)).logical_not()
    shares = scores.masked_fill(hidden, -math.inf).softmax(-1)
    return torch.einsum("hst,the->she", shares, v.float()).to(q.dtype)


def in_rows(q: Tensor, k: Tensor, v: Tensor, scale: float | None, causal: bool) -> Tensor:
    assert scale is not None
    return torch.stack([rows_attention(*each, scale, causal) for each in zip(q, k, v, strict=True)])


def in_segments(q: Tensor, k: Tensor, v: Tensor, bounds: Tensor, longest: int, scale: float | None) -> Tensor:
    assert scale is not None
    assert bounds.dtype == torch.int32
    assert int(bounds.diff().max()) <= longest
    pairs = [(a, b) for a, b in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True) if a < b]
    return torch.cat([rows_attention(q[a:b], k[a:b], v[a:b], scale, True) for a, b in pairs])


class Version2(ModuleType):
    """flash_attn 2.8: the keywords that it has before `causal`, in their order."""

    @staticmethod
    def flash_attn_func(
        q: Tensor,
        k: Tensor,
        v: Tensor,
        dropout_p: float = 0.0,
        softmax_scale: float | None = None,
        causal: bool = False,
    ) -> Tensor:
        assert not dropout_p
        return in_rows(q, k, v, softmax_scale, causal)

    @staticmethod
    def flash_attn_varlen_func(
        q: Tensor, k: Tensor, v: Tensor, cu_seqlens_q: Tensor, cu_seqlens_k: Tensor, max_seqlen_q: int,
        max_seqlen_k: int, dropout_p: float = 0.0, softmax_scale: float | None = None, causal: bool = False,
    ) -> Tensor:  # fmt: skip
        assert causal
        assert not dropout_p
        assert cu_seqlens_q is cu_seqlens_k
        assert max_seqlen_q == max_seqlen_k
        return in_segments(q, k, v, cu_seqlens_q, max_seqlen_q, softmax_scale)


class Version3(ModuleType):
    """flash_attn_interface 3.0: no dropout; early releases return the log-sum-exp too."""

    @staticmethod
    def flash_attn_func(
        q: Tensor, k: Tensor, v: Tensor, softmax_scale: float | None = None, causal: bool = False, qv: Any = None
    ) -> tuple[Tensor, None]:
        assert qv is None
        return in_rows(q, k, v, softmax_scale, causal), None

    @staticmethod
    def flash_attn_varlen_func(
        q: Tensor, k: Tensor, v: Tensor, cu_seqlens_q: Tensor, cu_seqlens_k: Tensor, max_seqlen_q: int,
        max_seqlen_k: int, seqused_q: Any = None, seqused_k: Any = None, softmax_scale: float | None = None,
        causal: bool = False,
    ) -> tuple[Tensor, None]:  # fmt: skip
        assert seqused_q is seqused_k is None
        return Version2.flash_attn_varlen_func(
            q, k, v, cu_seqlens_q, cu_seqlens_k, max_seqlen_q, max_seqlen_k, 0.0, softmax_scale, causal
        ), None


VERSIONS = {"flash_attn": Version2, "flash_attn_interface": Version3}


@pytest.fixture(autouse=True)
def forget_kernels() -> Iterator[None]:
    kernel.cache_clear()
    yield
    kernel.cache_clear()


@pytest.fixture(params=sorted(VERSIONS))
def version(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    for name in VERSIONS:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, request.param, VERSIONS[request.param](request.param))
    return str(request.param)


@pytest.mark.usefixtures("version")
@pytest.mark.parametrize(("heads", "kv_heads", "width"), [(4, 4, 8), (6, 2, 46)])
@pytest.mark.parametrize(("asked", "has_segments"), [(40, False), (7, False), (40, True), (7, True)])
def test_both_versions_give_the_formula(heads: int, kv_heads: int, width: int, asked: int, has_segments: bool) -> None:
    torch.manual_seed(width)
    k, v = (torch.randn(2, kv_heads, 40, width).bfloat16().requires_grad_() for _ in range(2))
    q = torch.randn(2, heads, asked, width).bfloat16().requires_grad_()
    documents_BT = torch.arange(40).expand(2, 40) // (9 if has_segments else 40)
    attend = make_flash_attention(segments_of(documents_BT) if has_segments else None)
    may_see = (documents_BT[:, :, None] == documents_BT[:, None, :]).tril()[:, -asked:]
    wide_k, wide_v = (x.double().repeat_interleave(heads // kv_heads, dim=1) for x in (k, v))
    scores = (q.double() @ wide_k.mT / width**0.5).masked_fill(~may_see[:, None], -math.inf)
    expected = scores.softmax(-1) @ wide_v
    found = attend(q, k, v)
    torch.testing.assert_close(found.double(), expected, atol=2e-2, rtol=0)
    grads = [torch.autograd.grad(y.double().square().sum(), (q, k, v), retain_graph=True) for y in (found, expected)]
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other, atol=0.1, rtol=0.05)


def test_version_3_is_taken_where_both_are_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, kind in VERSIONS.items():
        monkeypatch.setitem(sys.modules, name, kind(name))
    assert kernel("flash_attn_func") is Version3.flash_attn_func


@pytest.mark.usefixtures("version")
def test_a_model_runs_on_the_package() -> None:
    model = awake_model(small_recipe(compute__attention="flash_attn"))
    other = awake_model(small_recipe())
    model.dtypes = other.dtypes = torch.bfloat16, None  # as on a GPU
    tokens_BT = random_tokens(2, 24)
    segments = segments_of(torch.arange(24).expand(2, 24) // 7)
    with torch.no_grad():
        torch.testing.assert_close(
            model(tokens_BT, segments=segments), other(tokens_BT, segments=segments), atol=0.3, rtol=0
        )


def test_what_it_cannot_do_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LaunchRefused, match="flash_attn needs a CUDA GPU, found cpu"):
        require_flash_attention("cpu", 64)
    with pytest.raises(LaunchRefused, match="heads up to 256 wide, found 264"):
        require_flash_attention("cuda", 264)
    for name in VERSIONS:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(LaunchRefused, match=r"needs the package flash-attn .*install a wheel for this torch"):
        require_flash_attention("cuda", 64)
    monkeypatch.setitem(sys.modules, "flash_attn", Version2("flash_attn"))
    require_flash_attention("cuda", 64)
    x = torch.randn(1, 1, 4, 8)
    with pytest.raises(LaunchRefused, match=r"computes in bfloat16, found torch\.float32"):
        make_flash_attention(None)(x, x, x)
