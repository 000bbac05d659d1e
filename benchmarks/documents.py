"""Attention within documents: segment by segment, against a dense mask."""

from functools import partial

import torch
from torch import Tensor

from benchmarks.measure import Ratio, Timing, take_turns
from benchmarks.shapes import bench_device
from benchmarks.training import pair_ratios
from trainer.data.documents import segments_of
from trainer.model.attention_function import AttentionFunction
from trainer.model.attention_kernels import make_attention_function
from trainer.model.library_attention import library_attention
from trainer.model.segment_attention import segment_mask
from trainer.model.segments import Segments

HEADS, KV_HEADS, WIDTH, BOS = 8, 4, 64, 1
# Tokens of a row, and of a document on average.
ROWS = ((512, 120), (1024, 300), (2048, 900))
TOKENS = 2048


def measure_documents(rounds: int) -> tuple[list[Timing], list[Ratio]]:
    """Return the times of one layer's attention, forward and backward, at equal tokens, and how they compare."""
    timings, ratios = [], []
    for length, mean in ROWS:
        generator = torch.Generator().manual_seed(length)
        shape = TOKENS // length, length
        tokens_BT = torch.where(torch.rand(shape, generator=generator) < 1 / mean, BOS, BOS + 1)
        device = bench_device()
        segments = segments_of(tokens_BT, BOS, None, device)
        inputs = [
            torch.randn(shape[0], heads, length, WIDTH, generator=generator).to(device).requires_grad_()
            for heads in (HEADS, KV_HEADS, KV_HEADS)
        ]
        ways: dict[str, AttentionFunction] = {
            "segments": make_attention_function("automatic", device.type, WIDTH, segments),
            "dense mask": partial(attend_with_mask, segments),
            "whole rows": make_attention_function("automatic", device.type, WIDTH),
        }
        seconds = take_turns({name: partial(time_pass, attend, inputs) for name, attend in ways.items()}, 5 * rounds)
        name = f"documents of {mean} tokens in rows of {length:,}"
        timings += [Timing(f"{name}: {way}", values, TOKENS, "tokens") for way, values in seconds.items()]
        ratios.append(
            Ratio(f"{name}: segments over a dense mask", pair_ratios(seconds["dense mask"], seconds["segments"]))
        )
    return timings, ratios


def attend_with_mask(segments: Segments, q_BHTE: Tensor, k_BKTE: Tensor, v_BKTE: Tensor) -> Tensor:
    return library_attention(q_BHTE, k_BKTE, v_BKTE, segment_mask(segments, k_BKTE))


def time_pass(attend: AttentionFunction, inputs: list[Tensor]) -> float:
    """Run one pass forward and backward."""
    y_BHTE = attend(*inputs)
    return float(torch.autograd.grad(y_BHTE, inputs, torch.ones_like(y_BHTE))[0].sum())
