"""The fastest attention kernel on a device, found by timing them before training starts."""

import time
from dataclasses import replace

import torch
from torch import Tensor

from trainer.model.attention_function import AttentionFunction
from trainer.model.attention_kernels import make_attention_function
from trainer.model.flash_attention import make_flash_attention
from trainer.model.segments import Segments
from trainer.recipe.compute import AttentionKernel
from trainer.recipe.loader import DocumentPacking, DocumentRows
from trainer.recipe.recipe import Recipe
from trainer.runtime.device import product_dtype
from trainer.runtime.failure import LaunchRefused
from trainer.runtime.job import TrainingJob
from trainer.runtime.journal import Journal
from trainer.runtime.world import World

# On a CPU, "library" is torch's FlashAttention. On a GPU, "blocked" would be too many small products.
CANDIDATES: dict[str, tuple[AttentionKernel, ...]] = {
    "cpu": ("library", "padded", "blocked"),
    "cuda": ("library", "flash", "cudnn", "padded", "flash_attn"),
}
TRIALS = 5


def with_fastest_attention(job: TrainingJob, world: World, journal: Journal) -> TrainingJob:
    """Return the job with the fastest kernel in place of `measured`: the one in run.json if it is resumed."""
    candidates, number = CANDIDATES[world.device.type], 0
    if world.is_rank_zero:
        kept = (job.run.get("environment") or {}).get("attention")
        number = candidates.index(kept if kept in candidates else find_fastest(job.recipe, world.device, journal))
    kernel = candidates[world.broadcast_number(number)]
    return replace(job, recipe=replace(job.recipe, compute=replace(job.recipe.compute, attention=kernel)))


def find_fastest(recipe: Recipe, device: torch.device, journal: Journal) -> AttentionKernel:
    """Time all kernels, log their times, and return the fastest."""
    seconds = time_kernels(recipe, device)
    ranking = ", ".join(f"{kernel} {1000 * value:.2f} ms" for kernel, value in seconds.items())
    journal.log(f"attention of one layer, forward and backward: {ranking}")
    return next(iter(seconds))


def time_kernels(recipe: Recipe, device: torch.device) -> dict[AttentionKernel, float]:
    """Return the seconds of one layer's attention by kernel, the fastest first.

    Forward and backward pass are timed, not compiled. Kernels that do not support the recipe's shapes are left out.
    """
    attention, schedule, dtype = (
        recipe.model.attention,
        recipe.schedule,
        product_dtype(recipe.compute.precision, device),
    )
    batch, length = schedule.micro_tokens // schedule.window_tokens, schedule.window_tokens
    segments: Segments | None = None
    if isinstance(schedule.loader, DocumentPacking | DocumentRows):
        from trainer.data.documents import segments_of

        longest = schedule.loader.longest_at(1.0) if isinstance(schedule.loader, DocumentRows) else None
        segments = segments_of(torch.zeros(batch, length, dtype=torch.int64), 1, longest, device)
    inputs = [
        torch.randn(batch, heads, length, recipe.model.head_width, device=device, dtype=dtype, requires_grad=True)
        for heads in (attention.heads, attention.kv_heads, attention.kv_heads)
    ]
    seconds: dict[AttentionKernel, float] = {}
    for kernel in CANDIDATES[device.type]:
        try:
            if kernel == "flash_attn":
                attend = make_flash_attention(segments)
            else:
                attend = make_attention_function(kernel, device.type, recipe.model.head_width, segments)
            seconds[kernel] = min(time_passes(attend, inputs)[1:])
        except (RuntimeError, LaunchRefused):
            if kernel == "library":  # it supports all shapes; for the others this error means that they do not
                raise
    return dict(sorted(seconds.items(), key=lambda item: item[1]))


def time_passes(attend: AttentionFunction, inputs: list[Tensor]) -> list[float]:
    """Return the seconds of some passes forward and backward. The first one includes the warmup."""
    q_BHTE, k_BKTE, v_BKTE = inputs
    seconds = []
    for _ in range(TRIALS):
        began = time.perf_counter()
        y_BHTE = attend(q_BHTE, k_BKTE, v_BKTE)
        torch.autograd.grad(y_BHTE, inputs, torch.ones_like(y_BHTE))[0].sum().item()  # waits for a GPU
        seconds.append(time.perf_counter() - began)
    return seconds
