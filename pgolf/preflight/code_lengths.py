"""Bits a code takes when Gaussian weights are rounded to a grid.

The codes of a row depend on its step in units of its own standard deviation and on nothing else: neither on how large
the weights are nor on how they were trained. Brotli at its best is a Huffman coder on such codes.
Source: constants fitted on public logs of openai/parameter-golf; predicted against measured: docs/log/2026-11-21.md.
"""

import heapq
from functools import cache
from itertools import count, pairwise
from math import erf, log2, sqrt

# What GPTQ adds to the variance of matrices, in variances of the rounding error.
GPTQ_SPREAD = 0.25
# Bits a weight that brotli-11 stays below the Huffman length of Gaussian rows, for columns are not all alike.
BROTLI_GAIN_BITS = 0.0124
# Compressed bytes of a float16 scale or vector entry.
FLOAT16_BYTES = 1.8


def with_gptq_spread(step: float) -> float:
    """A step in deviations of the codes that GPTQ writes, which spread a little wider than the weights."""
    return step / sqrt(1 + GPTQ_SPREAD * step * step / 12)


def largest_code(bits: int) -> int:
    """The largest code of a width."""
    return (1 << (bits - 1)) - 1


@cache
def huffman_bits(step: float, largest: int) -> float:
    """Mean length of an optimal prefix code: what brotli at its best makes of int8 codes. Units: bits a weight."""
    return huffman_length(code_probabilities(step, largest))


@cache
def entropy_bits(step: float, largest: int) -> float:
    """The least that a coder needs that knows only the distribution. Units: bits a weight."""
    return -sum(share * log2(share) for share in code_probabilities(step, largest) if share > 0)


def code_probabilities(step: float, largest: int) -> list[float]:
    """How often each code from -largest to largest occurs in a unit Gaussian rounded to multiples of `step`."""
    edges = [(code + 0.5) * step for code in range(-largest, largest)]
    cumulative = [0.0, *(0.5 * (1 + erf(edge / sqrt(2))) for edge in edges), 1.0]
    return [high - low for low, high in pairwise(cumulative)]


def huffman_length(probabilities: list[float]) -> float:
    """Expected length of an optimal prefix code. Units: bits."""
    order = count()
    heap = [(probability, next(order)) for probability in probabilities if probability > 0]
    heapq.heapify(heap)
    length = 0.0
    while len(heap) > 1:
        merged = heapq.heappop(heap)[0] + heapq.heappop(heap)[0]
        length += merged
        heapq.heappush(heap, (merged, next(order)))
    return length
