"""Model bytes of a public run, predicted from the hyperparameters in its log.

The scripts of openai/parameter-golf print their hyperparameters and the format of each tensor. These give the weights,
rows and steps of each part, and from them its bytes. What the log leaves out widens the interval, and the basis states
it.
Source: constants fitted on public logs; docs/log/2026-11-21.md has the errors.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pgolf.errors import SpecError, UsageError
from pgolf.preflight.byte_estimate import ByteEstimate, with_margins
from pgolf.preflight.code_lengths import (
    BROTLI_GAIN_BITS,
    FLOAT16_BYTES,
    entropy_bits,
    huffman_bits,
    largest_code,
    with_gptq_spread,
)

# Bits per weight below the Huffman length for rotated weights, which are nearer to Gaussian, and below the entropy with
# ZPAQ over transposed streams.
ROTATED_GAIN_BITS, ZPAQ_GAIN_BITS = 0.0084, 0.0345
# Bytes of an int8 gate weight, and of a float16 weight of a projection between two widths.
GATE_BYTES, PROJECTION_BYTES = 1.0, 1.31
# Compressed bits per entry of the two factors of a low-rank residual, which are stored in 2 and 4 bits.
TALL_FACTOR_BITS, WIDE_FACTOR_BITS = 1.2, 3.5
# Half widths of the interval: 95 of 100 public runs of known kinds are within 0.3 %.
KNOWN, LITTLE_KNOWN, ONCE_SEEN, UNMODELLED, UNKNOWN = 0.0035, 0.006, 0.015, 0.05, 0.4
COMMON_STEPS = (0.25, 0.45)
# Compressed bits per parameter of runs whose quantization is not described.
USUAL_BITS = {"brotli": 3.6, "lzma": 4.6, "zstd": 4.6, "zlib": 6.1}
TENSORS = {
    "attention": ("attn.c_q", "attn.c_k", "attn.c_v", "attn.proj"),
    "mlp": ("mlp.fc", "mlp.proj"),
    "embedding": ("tok_emb",),
}

Size = Annotated[int, Field(ge=1, le=1 << 20)]
Bits = Annotated[int, Field(ge=2, le=8)]
Clip = Annotated[float, Field(gt=0, le=1000)]


class Hyperparameters(BaseModel):
    """Shape and quantization in a public log, under the names of the scripts."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False, defer_build=True)

    num_layers: Size
    model_dim: Size
    num_heads: Size
    num_kv_heads: Size
    mlp_mult: Annotated[float, Field(gt=0, le=64)]
    vocab_size: Size
    matrix_bits: Bits
    embed_bits: Bits
    matrix_clip_sigmas: Clip
    embed_clip_sigmas: Clip
    attn_clip_sigmas: Annotated[float, Field(ge=0, le=1000)] | None = None
    mlp_clip_sigmas: Annotated[float, Field(ge=0, le=1000)] | None = None
    embedding_dim: Annotated[int, Field(ge=0, le=1 << 20)] | None = None
    gated_attn_enabled: bool = False
    gated_attn_quant_gate: bool = False
    spinquant_enabled: bool = False
    lqer_enabled: bool = False
    lqer_rank: Annotated[int, Field(ge=0, le=4096)] = 0
    lqer_top_k: Annotated[int, Field(ge=0, le=4096)] = 0
    lqer_asym_group: Size = 64
    awq_lite_enabled: bool = False
    awq_lite_bits: int = 8
    awq_lite_group_size: int = 64
    awq_lite_group_top_k: int = 1
    max_wallclock_seconds: float = 600.0

    @property
    def table_width(self) -> int:
        return self.embedding_dim or self.model_dim

    @property
    def hidden(self) -> int:
        return int(self.mlp_mult * self.model_dim)

    @property
    def kv_width(self) -> int:
        return self.model_dim * self.num_kv_heads // self.num_heads

    @property
    def gates(self) -> int:
        """Weights of dense attention gates."""
        return self.num_layers * self.num_heads * self.model_dim if self.gated_attn_enabled else 0

    @property
    def projections(self) -> int:
        """Weights of the two projections between the embedding and a residual stream of another width."""
        return 2 * self.model_dim * self.table_width if self.table_width != self.model_dim else 0


class PublicRun(BaseModel):
    """A description of a public run, without its bytes."""

    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)

    model_params: Annotated[int, Field(ge=1, le=1 << 40)]
    compressor: str = ""
    config: dict[str, Any] = {}
    config_extra: dict[str, Any] | None = None
    quant_groups: dict[str, list[str]] | None = None

    @property
    def groups(self) -> dict[str, list[str]]:
        return self.quant_groups or {}

    @property
    def is_zpaq(self) -> bool:
        return "lrzip" in self.compressor or self.compressor == "pergroup"

    def hyperparameters(self) -> Hyperparameters | None:
        """Return shape and quantization; None if some of it is missing."""
        try:
            return Hyperparameters.model_validate({**(self.config_extra or {}), **self.config})
        except ValidationError:
            return None


@dataclass(frozen=True, slots=True)
class Part:
    """Matrices that share bits and clip."""

    role: str
    weights: int
    rows: int
    bits: int
    clip: float
    """In standard deviations."""

    @property
    def step(self) -> float:
        """The grid step in standard deviations."""
        return self.clip / largest_code(self.bits)


def estimate_public_run(description: Mapping[str, Any]) -> ByteEstimate:
    """Return the predicted size of a public run's compressed model. Unknown keys and byte counts are ignored.

    Raises:
        SpecError: the description does not give the number of parameters.
    """
    try:
        run = PublicRun.model_validate(description)
    except ValidationError as error:
        first = error.errors()[0]
        raise SpecError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    shape = run.hyperparameters()
    return usual_size(run) if shape is None else described_size(run, shape)


def estimate_described_file(path: Path) -> ByteEstimate:
    """Return the predicted size of the run that a JSON file describes.

    Raises:
        UsageError: there is no such file.
        SpecError: it is not a JSON object, or says too little.
    """
    try:
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"--describe {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise SpecError(f"{path} is not JSON: {error}; expected one object, such as a row of public runs") from None
    if not isinstance(found, dict):
        raise SpecError(f"{path} holds {type(found).__name__}, expected one JSON object")
    try:
        return estimate_public_run(found)
    except SpecError as error:
        raise SpecError(f"{path}: {error}") from None


def usual_size(run: PublicRun) -> ByteEstimate:
    """Return a rough estimate for a run whose quantization is not described."""
    total = run.model_params * USUAL_BITS.get(run.compressor, USUAL_BITS["brotli"]) / 8
    basis = "usual bits per parameter, because layers, widths, bits or clips in standard deviations are missing"
    return with_margins(total, UNKNOWN, UNKNOWN, basis)


def described_size(run: PublicRun, shape: Hyperparameters) -> ByteEstimate:
    """Return the bytes that follow from shape and quantization."""
    parts = described_parts(run, shape)
    rest = run.model_params - sum(part.weights for part in parts)
    total = sum(part_bytes(part, shape, run.is_zpaq) for part in parts) + float_bytes(shape, rest)
    total += residual_bytes(run, shape) + widened_columns_bytes(shape)
    basis = "code lengths of Gaussian rows, calibrated on public runs"
    found = list(uncertainties(run, shape, parts, rest))
    if found:
        basis += f"; interval widened for {', '.join(reason for _, reason in found)}"
    half = max((half for half, _ in found), default=KNOWN)
    return with_margins(total, half, half, basis)


def described_parts(run: PublicRun, shape: Hyperparameters) -> tuple[Part, ...]:
    """Return the quantized matrices by role."""
    layers, width, clip = shape.num_layers, shape.model_dim, shape.matrix_clip_sigmas
    attention = layers * 2 * width * (width + shape.kv_width), layers * 2 * (width + shape.kv_width)
    mlp = layers * 2 * width * shape.hidden, layers * (width + shape.hidden)
    embedding = shape.vocab_size * shape.table_width, shape.vocab_size
    listed = {role: listed_bits(run, role) for role in TENSORS}
    return (
        Part("attention", *attention, listed["attention"] or shape.matrix_bits, shape.attn_clip_sigmas or clip),
        Part("mlp", *mlp, listed["mlp"] or shape.matrix_bits, shape.mlp_clip_sigmas or clip),
        Part("embedding", *embedding, listed["embedding"] or shape.embed_bits, shape.embed_clip_sigmas),
    )


def listed_bits(run: PublicRun, role: str) -> int | None:
    """Return the bits under which the log lists a role's tensors; None if it does not list them."""
    for label, names in run.groups.items():
        bits = re.search(r"int(\d)", label)
        if bits and any(tensor in name for name in names for tensor in TENSORS[role]):
            return int(bits[1])
    return None


def part_bytes(part: Part, shape: Hyperparameters, is_zpaq: bool) -> float:
    """Return the compressed bytes of some matrices and of their row scales."""
    step, largest, is_matrix = part.step, largest_code(part.bits), part.role != "embedding"
    if is_matrix:
        step = with_gptq_spread(step)
    gain = ROTATED_GAIN_BITS if shape.spinquant_enabled and is_matrix else BROTLI_GAIN_BITS
    bits = entropy_bits(step, largest) - ZPAQ_GAIN_BITS if is_zpaq else huffman_bits(step, largest) - gain
    return part.weights * bits / 8 + FLOAT16_BYTES * part.rows


def float_bytes(shape: Hyperparameters, values: int) -> float:
    """Return the compressed bytes of all values outside quantized matrices: vectors, gates and projections."""
    gates = min(values, shape.gates if shape.gated_attn_quant_gate else 0)
    projections = min(values - gates, shape.projections)
    return (
        GATE_BYTES * gates + PROJECTION_BYTES * projections + FLOAT16_BYTES * (values - gates - projections)
    )  # fmt: skip


def residual_bytes(run: PublicRun, shape: Hyperparameters) -> float:
    """Return the compressed bytes of low-rank residuals (LQER): of the embedding if listed, then of MLP matrices."""
    if not shape.lqer_enabled:
        return 0.0
    named = [name for label, names in run.groups.items() if "lqer" in label for name in names]
    tables = [(shape.vocab_size, shape.table_width)] if any("tok_emb" in name for name in named) else []
    shapes = (tables + [(shape.hidden, shape.model_dim)] * shape.lqer_top_k)[: shape.lqer_top_k]
    return sum(
        shape.lqer_rank * (rows * TALL_FACTOR_BITS + columns * WIDE_FACTOR_BITS) / 8
        + 2 * shape.lqer_rank * columns / shape.lqer_asym_group
        for rows, columns in shapes
    )


def widened_columns_bytes(shape: Hyperparameters) -> float:
    """Return the extra bytes of the embedding columns that AWQ-lite keeps in more bits."""
    if not shape.awq_lite_enabled:
        return 0.0
    columns = shape.awq_lite_group_size * shape.awq_lite_group_top_k
    return shape.vocab_size * (columns * (shape.awq_lite_bits - shape.embed_bits) / 8 + FLOAT16_BYTES)


def uncertainties(
    run: PublicRun, shape: Hyperparameters, parts: tuple[Part, ...], rest: int
) -> Iterator[tuple[float, str]]:
    """Yield each reason to widen the interval, with the half width that it requires."""
    vectors = 2 * shape.num_layers * shape.model_dim
    quantized = [name for label, names in run.groups.items() if "gptq" in label for name in names]
    known = [tensor for tensors in TENSORS.values() for tensor in tensors]
    own_bits = [key for key, value in (shape.model_extra or {}).items() if value and sets_bits(key)]
    low, high = COMMON_STEPS
    if run.compressor != "brotli" and not run.is_zpaq:
        yield UNKNOWN, f"the compressor {run.compressor!r}, which is not calibrated"
    if rest < vectors:
        yield UNMODELLED, f"fewer parameters than {shape.num_layers} layers have"
    elif rest - shape.gates - shape.projections > 4 * vectors:
        yield UNMODELLED, "many values in float16"
    if not all(any(tensor in name for tensor in known) for name in quantized):
        yield UNMODELLED, "matrices of unknown kinds"
    if own_bits:
        yield UNMODELLED, f"bits by layer ({', '.join(own_bits)})"
    if shape.projections:
        yield ONCE_SEEN, "projections from an embedding of another width, seen in one run only"
    if shape.gates and not shape.gated_attn_quant_gate:
        yield LITTLE_KNOWN, "float16 gates, which may have barely moved in training"
    if not all(low < part.step < high for part in parts if part.role != "embedding"):
        yield LITTLE_KNOWN, "quantization steps that few public runs used"
    if shape.max_wallclock_seconds > 3600:
        yield LITTLE_KNOWN, "more than an hour of training"


def sets_bits(key: str) -> bool:
    """Return whether a hyperparameter sets the bits of single layers."""
    return bool(re.search(r"bits_overrides|tail_bits|top_bits|loop_layer_bits|matrix_bits_", key))
