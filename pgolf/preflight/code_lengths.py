"""Code lengths of Gaussian weights that are rounded to a grid.

The codes of a row depend only on the ratio of the grid step to the row's standard deviation, and not on the size of the
weights or on how they were trained. On such codes brotli at quality 11 does as well as a Huffman coder.
Source: constants fitted on public logs of openai/parameter-golf; docs/log/2026-11-21.md has predicted and real bytes.
"""

import heapq
from functools import cache
from itertools import count, pairwise
from math import erf, log2, sqrt

# Variance that GPTQ adds to matrices, in units of the variance of the rounding error.
GPTQ_SPREAD = 0.25
# Bits per weight by which brotli-11 is below the Huffman length of Gaussian rows, because columns differ.
BROTLI_GAIN_BITS = 0.0124
# Compressed bytes of a float16 scale or vector entry.
FLOAT16_BYTES = 1.8


def with_gptq_spread(step: float) -> float:
    """Return the step in standard deviations of the codes that GPTQ writes, which spread wider than the weights."""
    return step / sqrt(1 + GPTQ_SPREAD * step * step / 12)


def largest_code(bits: int) -> int:
    """Return the largest code of a bit width."""
    return (1 << (bits - 1)) - 1


@cache
def huffman_bits(step: float, largest: int) -> float:
    """Return the mean length of an optimal prefix code, about that of brotli-11. Units: bits per weight."""
    return huffman_length(code_probabilities(step, largest))


@cache
def entropy_bits(step: float, largest: int) -> float:
    """Return the entropy of a code, the minimum for any memoryless coder. Units: bits per weight."""
    return -sum(share * log2(share) for share in code_probabilities(step, largest) if share > 0)


def code_probabilities(step: float, largest: int) -> list[float]:
    """Return the probability of each code from -largest to largest, for a unit Gaussian in steps of `step`."""
    edges = [(code + 0.5) * step for code in range(-largest, largest)]
    cumulative = [0.0, *(0.5 * (1 + erf(edge / sqrt(2))) for edge in edges), 1.0]
    return [high - low for low, high in pairwise(cumulative)]


def huffman_length(probabilities: list[float]) -> float:
    """Return the expected length of an optimal prefix code. Units: bits."""
    order = count()
    heap = [(probability, next(order)) for probability in probabilities if probability > 0]
    heapq.heapify(heap)
    length = 0.0
    while len(heap) > 1:
        merged = heapq.heappop(heap)[0] + heapq.heappop(heap)[0]
        length += merged
        heapq.heappush(heap, (merged, next(order)))
    return length
