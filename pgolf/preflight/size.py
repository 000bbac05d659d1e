"""Artifact bytes from the spec alone.

With a clip at k standard deviations every row has the same step in units of its own deviation, D = k / levels. The
codes of a Gaussian row then have a distribution that depends on D only, and neither on the weights' scale nor on how
they were trained. Brotli and zlib at their best are Huffman coders on such bytes, so that their output is the mean
Huffman code length.
Source: fitted on public logs of openai/parameter-golf; see docs/results.md for predictions beside real bytes.
"""

import heapq
from dataclasses import dataclass
from functools import cache
from itertools import count, pairwise
from math import erf, sqrt
from statistics import NormalDist

from trainer.recipe.codec import Brotli, CodecRecipe
from trainer.recipe.inventory import TensorSpec, inventory
from trainer.recipe.patterns import value_for
from trainer.recipe.quantizer import DeviationClip, Rtn, is_quantized
from trainer.recipe.recipe import Recipe

# Bits a weight by which brotli-11 beats the Huffman length on trained weights (442 public runs); zlib sits above it.
BROTLI_GAIN_BITS = 0.0108
ZLIB_LOSS_BITS = 0.06
# Bytes of a float16 scale or value after compression.
FLOAT16_BYTES = 1.8
FLOAT32_BYTES = 3.7
CONTAINER_BYTES = 61
HEADER_BYTES = 420
CHECKSUM_BYTES = 4
KNOWN_MARGIN, SMALL_MARGIN, UNKNOWN_MARGIN = 0.015, 0.05, 0.10
SMALL_MODEL_WEIGHTS = 5_000_000


@dataclass(frozen=True, slots=True)
class ByteEstimate:
    """Model bytes before training."""

    estimate: int
    low: int
    high: int
    basis: str
    """Where it comes from, and why it is as wide as it is."""


def estimate_model_bytes(recipe: Recipe) -> ByteEstimate:
    """The size of model.bin. Units: bytes."""
    tensors = inventory(recipe.model, recipe.vocabulary_size)
    total = CONTAINER_BYTES + HEADER_BYTES + sum(tensor_bytes(recipe, tensor) for tensor in tensors)
    margin, basis = margin_and_basis(recipe, tensors)
    return ByteEstimate(round(total), round(total * (1 - margin)), round(total * (1 + margin)), basis)


def tensor_bytes(recipe: Recipe, tensor: TensorSpec) -> float:
    """Compressed bytes of one tensor with its row scales and checksum."""
    quantizer = recipe.quantizer
    if not is_quantized(quantizer, tensor):
        return CHECKSUM_BYTES + tensor.size * (FLOAT16_BYTES if quantizer.float_type == "float16" else FLOAT32_BYTES)
    rows, columns = tensor.shape
    bits = code_bits(step_in_deviations(quantizer, tensor.name, columns), levels(quantizer, tensor.name))
    return CHECKSUM_BYTES + tensor.size * (bits + codec_bits(recipe.codec)) / 8 + FLOAT16_BYTES * rows


def levels(quantizer: Rtn, name: str) -> int:
    """Largest code of a tensor."""
    return (1 << (value_for(quantizer.bits, name) - 1)) - 1


def step_in_deviations(quantizer: Rtn, name: str, columns: int) -> float:
    """The grid step of a Gaussian row, in units of its standard deviation."""
    match quantizer.clip:
        case DeviationClip():
            clip = value_for(quantizer.clip.k, name)
        case _:
            clip = expected_percentile(quantizer.clip.percentile, columns)
    return clip / levels(quantizer, name)


def expected_percentile(percentile: float, columns: int) -> float:
    """A percentile of |w| over a Gaussian row, no further out than the row's expected largest value."""
    share = min(percentile / 100, 1 - 0.56 / columns)
    return NormalDist().inv_cdf((1 + share) / 2)


def codec_bits(codec: CodecRecipe) -> float:
    """Bits a weight above the Huffman length."""
    return -BROTLI_GAIN_BITS if isinstance(codec, Brotli) else ZLIB_LOSS_BITS


@cache
def code_bits(step: float, largest: int) -> float:
    """Mean Huffman length of the codes of a unit Gaussian rounded to multiples of `step` and clamped. Units: bits."""
    edges = [(code + 0.5) * step for code in range(-largest, largest)]
    cumulative = [0.0, *(0.5 * (1 + erf(edge / sqrt(2))) for edge in edges), 1.0]
    return huffman_length([high - low for low, high in pairwise(cumulative)])


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


def margin_and_basis(recipe: Recipe, tensors: tuple[TensorSpec, ...]) -> tuple[float, str]:
    """Half-width of the interval as a share of the estimate, and its reason."""
    if recipe.quantizer.scale_floor:
        return UNKNOWN_MARGIN, "a scale floor ties bytes to the absolute size of the weights: no better than 10 %"
    if not isinstance(recipe.quantizer.clip, DeviationClip):
        return UNKNOWN_MARGIN, "a percentile clip depends on the tails of the trained weights: no better than 10 %"
    if sum(tensor.size for tensor in tensors) < SMALL_MODEL_WEIGHTS:
        return SMALL_MARGIN, "Huffman length of Gaussian rows; small, briefly trained models are less Gaussian: 5 %"
    if not isinstance(recipe.codec, Brotli):
        return SMALL_MARGIN, "Huffman length of Gaussian rows; zlib is not calibrated on public runs: 5 %"
    return KNOWN_MARGIN, "Huffman length of Gaussian rows, calibrated on public runs"
