"""Model bytes predicted from the recipe alone: code lengths of each tensor, scales, vectors and container."""

from itertools import pairwise
from statistics import NormalDist

from pgolf.preflight.byte_estimate import ByteEstimate
from pgolf.preflight.code_lengths import (
    BROTLI_GAIN_BITS,
    FLOAT16_BYTES,
    entropy_bits,
    huffman_bits,
    largest_code,
    with_gptq_spread,
)
from trainer.recipe.codec import Brotli, CodecRecipe, ColumnRange, Lzma, Zlib, Zstd
from trainer.recipe.filling import largest_code_bytes
from trainer.recipe.inventory import Inventory, TensorSpec, inventory
from trainer.recipe.optimizer import MuonAdamW, OptimizerRecipe
from trainer.recipe.patterns import value_for
from trainer.recipe.quantizer import (
    GATE_BITS,
    DeviationClip,
    FisherSteps,
    Gptq,
    Grid,
    PercentileClip,
    QuantizerRecipe,
    SearchedClip,
    is_quantized,
)
from trainer.recipe.recipe import Recipe

# Bits per weight by which the column coder is below the entropy of Gaussian rows, on weights trained here.
COLUMN_RANGE_GAIN_BITS = 0.04
# Bits per weight by which zstd at its best level is above the Huffman length.
ZSTD_LOSS_BITS = 0.01
LossTable = tuple[tuple[float, float], ...]
# Bits per weight by which zlib is above the Huffman length, by that length: its 15-bit codes, short blocks and matches
# cost more the smaller the alphabet. Measured on Gaussian codes, linear in between.
ZLIB_LOSS_BITS = ((4.7, 0.45), (5.0, 0.32), (5.7, 0.14), (6.1, 0.08), (6.9, 0.04))
# The same for LZMA.
LZMA_LOSS_BITS = ((2.4, 0.23), (3.4, 0.15), (4.4, 0.11), (5.4, 0.10))
FLOAT32_BYTES = 3.7
# Bytes that may stay unused when clips are scaled to fill a number of bytes, and their greatest share of it.
FILL_SLACK_BYTES, FILL_SLACK_PART = 2_000, 100
CONTAINER_BYTES = 61
HEADER_BYTES = 700
CHECKSUM_BYTES = 4
# Percentile that a search among percentiles typically chooses.
SEARCHED_PERCENTILE, LARGEST = 99.9, 100.0
DEVIATION_TIMES_DECAY, LARGEST_DEVIATION = 0.0068, 0.33
# Reach of an interval below and above the estimate, as shares of the estimate.
Margins = tuple[float, float]
KNOWN, UNCALIBRATED, UNKNOWN, FLOORED = (0.015, 0.015), (0.05, 0.05), (0.10, 0.10), (0.30, 0.20)
# Share by which small models can be below the estimate: rows of rare tokens have barely moved and are not Gaussian.
SMALL, BARELY_TRAINED = 0.12, 0.35
SMALL_MODEL_WEIGHTS, FEW_STEPS = 5_000_000, 400


def estimate_model_bytes(recipe: Recipe) -> ByteEstimate:
    """Return the predicted size of model.bin. Units: bytes."""
    tensors = inventory(recipe.model, recipe.vocabulary_size)
    total = CONTAINER_BYTES + HEADER_BYTES + sum(tensor_bytes(recipe, tensor) for tensor in tensors)
    total += residual_bytes(recipe.quantizer, tensors)
    (below, above), basis = margins_and_basis(recipe, tensors)
    low, high = total * (1 - below), total * (1 + above)
    if limit := recipe.quantizer.fit_bytes:
        low, total, high = min(low, limit), min(total, limit), min(high, limit)
        basis += f"; codes are set to zero until the model has at most {limit:,} bytes"
    return ByteEstimate(round(total), round(low), round(high), basis)


def filled_model_bytes(recipe: Recipe, code_bytes: int) -> ByteEstimate | None:
    """Return the size of model.bin whose clips are scaled to fill a number of bytes.

    None if they are not, if the code leaves no room for a model, or if codes of the most bits take less. Units: bytes.
    """
    quantizer, wanted = recipe.quantizer, recipe.quantizer.fill_bytes
    reach = largest_code_bytes(quantizer, inventory(recipe.model, recipe.vocabulary_size))
    if not code_bytes < wanted < code_bytes + reach:
        return None
    slack = min(FILL_SLACK_BYTES, wanted // FILL_SLACK_PART)
    most = max(0, wanted - code_bytes)
    basis = f"clips are scaled until code and model together have at most {slack:,} bytes less than {wanted:,}"
    return ByteEstimate(max(0, most - slack // 2), max(0, most - slack), most, basis)


def tensor_bytes(recipe: Recipe, tensor: TensorSpec) -> float:
    """Return the compressed bytes of one tensor with its row scales and checksum."""
    quantizer = recipe.quantizer
    if not is_quantized(quantizer, tensor):
        return CHECKSUM_BYTES + tensor.size * (FLOAT16_BYTES if quantizer.float_type == "float16" else FLOAT32_BYTES)
    rows, columns = tensor.shape
    if tensor.group == "control":
        step = expected_percentile(LARGEST, columns) / largest_code(GATE_BITS)
        bits = coded_bits(recipe.codec, step, largest_code(GATE_BITS))
        return CHECKSUM_BYTES + tensor.size * bits / 8 + FLOAT16_BYTES * rows
    step = step_in_deviations(quantizer, tensor.name, columns)
    if floor := floor_of(quantizer, tensor.name):
        step = max(step, floor / expected_deviation(recipe.optimizer))
    if isinstance(quantizer, Gptq) and tensor.group != "embedding":
        step = with_gptq_spread(step)
    bits = coded_bits(recipe.codec, step, levels(quantizer, tensor.name))
    return CHECKSUM_BYTES + tensor.size * bits / 8 + FLOAT16_BYTES * rows


def residual_bytes(quantizer: QuantizerRecipe, tensors: Inventory) -> float:
    """Return the bytes of low-rank residuals. The largest matrices get them, because they usually lose most."""
    residual = quantizer.residual
    if residual is None:
        return 0.0
    sides = sorted((sum(tensor.shape) for tensor in tensors if is_quantized(quantizer, tensor)), reverse=True)
    return residual.rank * sum(sides[: residual.tensors]) * residual.bits / 8


def levels(quantizer: Grid, name: str) -> int:
    """Return the largest code of a tensor."""
    return largest_code(value_for(quantizer.bits, name))


def step_in_deviations(quantizer: Grid, name: str, columns: int) -> float:
    """Return the grid step of a Gaussian row, in units of its standard deviation."""
    match quantizer.clip:
        case DeviationClip():
            clip = value_for(quantizer.clip.k, name)
        case PercentileClip():
            clip = expected_percentile(quantizer.clip.percentile, columns)
        case SearchedClip():  # with few bits, clipping the tails is best for a Gaussian row
            clip = expected_percentile(SEARCHED_PERCENTILE, columns)
    return clip / levels(quantizer, name)


def floor_of(quantizer: Grid, name: str) -> float:
    """Return the smallest step that a row of a tensor may have."""
    return value_for(quantizer.scale_floor, name) if quantizer.scale_floor else 0.0


def expected_deviation(optimizer: OptimizerRecipe) -> float:
    """Return a rough standard deviation of trained weights: Muon's updates have a fixed size, and decay opposes them.

    Source: implied by the bytes of public runs with a scale floor in openai/parameter-golf, at weight decays of 0.04
    (0.17 to 0.23), 0.085 (0.07 to 0.08) and 0 (0.3).
    """
    decay = optimizer.weight_decay if isinstance(optimizer, MuonAdamW) else 0.0
    return min(LARGEST_DEVIATION, DEVIATION_TIMES_DECAY / decay) if decay else LARGEST_DEVIATION


def expected_percentile(percentile: float, columns: int) -> float:
    """Return a percentile of |w| over a Gaussian row, at most the row's expected largest value."""
    share = min(percentile / 100, 1 - 0.56 / columns)
    return NormalDist().inv_cdf((1 + share) / 2)


def coded_bits(codec: CodecRecipe, step: float, largest: int) -> float:
    """Return the compressed bits per weight of Gaussian rows."""
    huffman = huffman_bits(step, largest)
    match codec:
        case ColumnRange():
            return entropy_bits(step, largest) - COLUMN_RANGE_GAIN_BITS
        case Brotli():
            return huffman - BROTLI_GAIN_BITS
        case Zstd():
            return huffman + ZSTD_LOSS_BITS
        case Lzma():
            return huffman + loss_bits(LZMA_LOSS_BITS, huffman)
        case Zlib():
            return huffman + loss_bits(ZLIB_LOSS_BITS, huffman)


def loss_bits(table: LossTable, huffman: float) -> float:
    """Return the bits per weight above a Huffman length, linear between the entries of a table."""
    for (length, loss), (next_length, next_loss) in pairwise(table):
        if huffman <= next_length:
            share = max(0.0, huffman - length) / (next_length - length)
            return loss + share * (next_loss - loss)
    return table[-1][1]


def margins_and_basis(recipe: Recipe, tensors: tuple[TensorSpec, ...]) -> tuple[Margins, str]:
    """Return the margins of the interval and their reason."""
    (below, above), basis = margins_of_method(recipe)
    if sum(tensor.size for tensor in tensors) >= SMALL_MODEL_WEIGHTS:
        return (below, above), basis
    if (recipe.planned_steps or FEW_STEPS) < FEW_STEPS:
        less, reason = BARELY_TRAINED, f"a barely trained small model takes up to {BARELY_TRAINED:.0%} less"
    else:
        less, reason = SMALL, f"a small model's embedding takes up to {SMALL:.0%} less"
    return (max(below, less), max(above, UNCALIBRATED[1])), f"{basis}; {reason}"


def margins_of_method(recipe: Recipe) -> tuple[Margins, str]:
    """Return the margins that follow from clip and codec, and their reason."""
    if any(recipe.quantizer.scale_floor.values()):
        return FLOORED, "a scale floor makes rows of small weights cheaper, and their size depends on training"
    if isinstance(recipe.quantizer.steps, FisherSteps):
        return UNKNOWN, "steps follow the sensitivity of trained rows; fill_bytes would fix the size"
    if not isinstance(recipe.quantizer.clip, DeviationClip):
        return UNKNOWN, "a percentile clip depends on the tails of the trained weights"
    if not isinstance(recipe.codec, Brotli):
        return UNCALIBRATED, f"code lengths of Gaussian rows; {recipe.codec.kind} is not calibrated on public runs"
    return KNOWN, "Huffman length of Gaussian rows, calibrated on public runs"
