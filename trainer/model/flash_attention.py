"""Attention by the FlashAttention package: version 3 for Hopper GPUs (`flash_attn_interface`), else version 2."""

from collections.abc import Callable
from functools import cache, partial
from importlib import import_module
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.model.attention_function import AttentionFunction
from trainer.model.library_attention import HEAD_MULTIPLE, library_attention
from trainer.model.segment_attention import by_position, segment_mask
from trainer.model.segments import Segments
from trainer.runtime.failure import LaunchRefused

MODULES = ("flash_attn_interface", "flash_attn")
WIDEST_HEAD = 256
KEY = "recipe.compute.attention"


def require_flash_attention(device_type: str, head_width: int) -> None:
    """Check that the package takes heads of this width on this device.

    Raises:
        LaunchRefused: it does not, or is not installed.
    """
    if device_type != "cuda":
        raise LaunchRefused(f"{KEY}: flash_attn needs a CUDA GPU, found {device_type}")
    if head_width > WIDEST_HEAD:
        raise LaunchRefused(f"{KEY}: flash_attn takes heads up to {WIDEST_HEAD} wide, found {head_width}")
    kernel("flash_attn_func")


def make_flash_attention(segments: Segments | None) -> AttentionFunction:
    """Return causal attention by the package, within segments if there are any."""
    return flash_attention if segments is None else partial(flash_attention_by_segment, segments)


@cache
def kernel(name: str) -> Callable[..., Any]:
    """Return a function of the package, that of version 3 if it is installed.

    Raises:
        LaunchRefused: neither version can be imported.
    """
    reasons = []
    for module in MODULES:
        try:
            found: Callable[..., Any] = getattr(import_module(module), name)
        except Exception as error:  # a package for another torch can raise anything
            reasons.append(f"{module}: {error}")
        else:
            return found
    raise LaunchRefused(
        f"{KEY}: flash_attn needs the package flash-attn ({'; '.join(reasons)}); install a wheel for this torch, or "
        "use another kernel"
    )


def flash_attention(q_BHSE: Tensor, k_BKTE: Tensor, v_BKTE: Tensor) -> Tensor:
    """Compute causal attention. Shapes: those of `AttentionFunction`.

    Both versions align the last query with the last key.
    """
    q, k, v = (padded(x.transpose(1, 2), q_BHSE.dtype) for x in (q_BHSE, k_BKTE, v_BKTE))
    scale = q_BHSE.size(-1) ** -0.5
    y_BSHE = first(kernel("flash_attn_func")(q, k, v, softmax_scale=scale, causal=True))
    return y_BSHE[..., : q_BHSE.size(-1)].transpose(1, 2)


def flash_attention_by_segment(segments: Segments, q_BHTE: Tensor, k_BKTE: Tensor, v_BKTE: Tensor) -> Tensor:
    """Compute causal attention within segments. Shapes: those of `AttentionFunction`."""
    if q_BHTE.size(-2) != k_BKTE.size(-2):
        return library_attention(q_BHTE, k_BKTE, v_BKTE, segment_mask(segments, k_BKTE))
    width, (bounds, longest, _) = q_BHTE.size(-1), segments
    q, k, v = (padded(by_position(x).transpose(0, 1), q_BHTE.dtype) for x in (q_BHTE, k_BKTE, v_BKTE))
    attend = kernel("flash_attn_varlen_func")
    y_NHE = first(attend(q, k, v, bounds, bounds, longest, longest, softmax_scale=width**-0.5, causal=True))
    return torch.unflatten(y_NHE[..., :width], 0, (q_BHTE.size(0), -1)).transpose(1, 2)


def padded(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Return heads with zeros appended up to a width that the package takes.

    Raises:
        LaunchRefused: they are in neither of the types that it takes.
    """
    if dtype not in (torch.bfloat16, torch.float16):
        raise LaunchRefused(
            f"{KEY}: flash_attn computes in bfloat16, found {dtype}; set recipe.compute.precision or another kernel"
        )
    return F.pad(x.to(dtype), (0, -x.size(-1) % HEAD_MULTIPLE))


def first(result: Any) -> Tensor:
    """Return the output of a kernel, of which early releases of version 3 return more."""
    output: Tensor = result[0] if isinstance(result, tuple) else result
    return output
