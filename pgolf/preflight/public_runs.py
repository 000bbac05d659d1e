"""Model bytes of a public run, from what its log says of it.

The scripts of openai/parameter-golf print their hyperparameters and which tensor went into which format. From that the
weights, rows and steps of each part follow, and from these its bytes. What the log does not tell widens the interval,
and the basis says so.
Source: constants fitted on public logs; docs/log/2026-11-21.md has the errors.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pgolf.errors import SpecError
from pgolf.preflight.byte_estimate import ByteEstimate, between
from pgolf.preflight.code_lengths import (
    BROTLI_GAIN_BITS,
    FLOAT16_BYTES,
    entropy_bits,
    huffman_bits,
    largest_code,
    with_gptq_spread,
)

# Bits a weight below the Huffman length where weights were rotated and are nearer to Gaussian, and below the entropy
# with ZPAQ over transposed streams.
ROTATED_GAIN_BITS, ZPAQ_GAIN_BITS = 0.0084, 0.0345
# Bytes of an int8 gate weight, and of a float16 weight of a projection between two widths.
GATE_BYTES, PROJECTION_BYTES = 1.0, 1.31
# Bits of an entry of the two factors of a low-rank residual, stored in 2 and 4 bits and then compressed.
TALL_FACTOR_BITS, WIDE_FACTOR_BITS = 1.2, 3.5
# Half widths of the interval: 95 of 100 public runs of known kinds lie within 0.3 %.
KNOWN, LITTLE_KNOWN, ONCE_SEEN, UNMODELLED, UNKNOWN = 0.0035, 0.006, 0.015, 0.05, 0.4
COMMON_STEPS = (0.25, 0.45)
# Compressed bits a parameter of runs whose rounding is not described.
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
    """What a public log says of shape and rounding, under the names of the scripts."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)

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
        """Weights of the two projections between an embedding of another width and the stream."""
        return 2 * self.model_dim * self.table_width if self.table_width != self.model_dim else 0


class PublicRun(BaseModel):
    """What is known of a run, but for its bytes."""

    model_config = ConfigDict(extra="ignore", frozen=True)

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
        """Shape and rounding, or None when some of it is not given."""
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
    """The size of a public run's compressed model. Keys that are not known are ignored, byte counts as well.

    Raises: SpecError when the description does not even say how many parameters there are.
    """
    try:
        run = PublicRun.model_validate(description)
    except ValidationError as error:
        first = error.errors()[0]
        raise SpecError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    shape = run.hyperparameters()
    return usual_size(run) if shape is None else described_size(run, shape)


def usual_size(run: PublicRun) -> ByteEstimate:
    """A first guess for runs whose rounding is not described."""
    total = run.model_params * USUAL_BITS.get(run.compressor, USUAL_BITS["brotli"]) / 8
    basis = "usual bits a parameter, as layers, widths, bits and clips in standard deviations are not all given"
    return between(total, UNKNOWN, UNKNOWN, basis)


def described_size(run: PublicRun, shape: Hyperparameters) -> ByteEstimate:
    """Bytes from shape and rounding."""
    parts = described_parts(run, shape)
    rest = run.model_params - sum(part.weights for part in parts)
    total = sum(part_bytes(part, shape, run.is_zpaq) for part in parts) + float_bytes(shape, rest)
    total += residual_bytes(run, shape) + widened_columns_bytes(shape)
    basis = "code lengths of Gaussian rows, calibrated on public runs"
    doubts = list(reservations(run, shape, parts, rest))
    if doubts:
        basis += f"; wider for {', '.join(reason for _, reason in doubts)}"
    half = max((half for half, _ in doubts), default=KNOWN)
    return between(total, half, half, basis)


def described_parts(run: PublicRun, shape: Hyperparameters) -> tuple[Part, ...]:
    """The quantized matrices by role."""
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
    """The bits under which the log lists a role's tensors."""
    for label, names in run.groups.items():
        bits = re.search(r"int(\d)", label)
        if bits and any(tensor in name for name in names for tensor in TENSORS[role]):
            return int(bits[1])
    return None


def part_bytes(part: Part, shape: Hyperparameters, is_zpaq: bool) -> float:
    """Compressed bytes of some matrices and of their row scales."""
    step, largest, is_matrix = part.step, largest_code(part.bits), part.role != "embedding"
    if is_matrix:
        step = with_gptq_spread(step)
    gain = ROTATED_GAIN_BITS if shape.spinquant_enabled and is_matrix else BROTLI_GAIN_BITS
    bits = entropy_bits(step, largest) - ZPAQ_GAIN_BITS if is_zpaq else huffman_bits(step, largest) - gain
    return part.weights * bits / 8 + FLOAT16_BYTES * part.rows


def float_bytes(shape: Hyperparameters, values: int) -> float:
    """Compressed bytes of all that is in no quantized matrix: vectors, gates, projections between two widths."""
    gates = min(values, shape.gates if shape.gated_attn_quant_gate else 0)
    projections = min(values - gates, shape.projections)
    return (
        GATE_BYTES * gates + PROJECTION_BYTES * projections + FLOAT16_BYTES * (values - gates - projections)
    )  # fmt: skip


def residual_bytes(run: PublicRun, shape: Hyperparameters) -> float:
    """Compressed bytes of low-rank residuals (LQER): of the embedding where the log names it, else of MLP matrices."""
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
    """What it costs to keep the columns of the embedding that matter most in more bits (AWQ-lite)."""
    if not shape.awq_lite_enabled:
        return 0.0
    columns = shape.awq_lite_group_size * shape.awq_lite_group_top_k
    return shape.vocab_size * (columns * (shape.awq_lite_bits - shape.embed_bits) / 8 + FLOAT16_BYTES)


def reservations(
    run: PublicRun, shape: Hyperparameters, parts: tuple[Part, ...], rest: int
) -> Iterator[tuple[float, str]]:
    """What may be said against an estimate: the half width that it calls for, and why."""
    vectors = 2 * shape.num_layers * shape.model_dim
    quantized = [name for label, names in run.groups.items() if "gptq" in label for name in names]
    known = [tensor for tensors in TENSORS.values() for tensor in tensors]
    own_bits = [key for key, value in (shape.model_extra or {}).items() if value and sets_bits(key)]
    low, high = COMMON_STEPS
    if run.compressor != "brotli" and not run.is_zpaq:
        yield UNKNOWN, f"the compressor {run.compressor!r}, which is not calibrated"
    if rest < vectors:
        yield UNMODELLED, "fewer parameters than so many layers have"
    elif rest - shape.gates - shape.projections > 4 * vectors:
        yield UNMODELLED, "many values in float16"
    if not all(any(tensor in name for tensor in known) for name in quantized):
        yield UNMODELLED, "matrices of other kinds"
    if own_bits:
        yield UNMODELLED, f"bits by layer ({', '.join(own_bits)})"
    if shape.projections:
        yield ONCE_SEEN, "projections of an embedding of another width, seen in one run"
    if shape.gates and not shape.gated_attn_quant_gate:
        yield LITTLE_KNOWN, "float16 gates that may hardly have moved"
    if not all(low < part.step < high for part in parts if part.role != "embedding"):
        yield LITTLE_KNOWN, "steps that few public runs took"
    if shape.max_wallclock_seconds > 3600:
        yield LITTLE_KNOWN, "hours of training"


def sets_bits(key: str) -> bool:
    """Whether a hyperparameter gives some layers other bits."""
    return bool(re.search(r"bits_overrides|tail_bits|top_bits|loop_layer_bits|matrix_bits_", key))
