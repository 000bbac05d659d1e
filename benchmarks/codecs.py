"""Comparison of codecs: `python -m benchmarks.codecs [model.bin...]`.

It compares them on the codes of packed models or, without arguments, on synthetic codes: Gaussian weights at six bits
and a clip of 12.85 deviations, whose column deviations are log-normal with a spread of 0.2, as in trained models.
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.measure import Timing, repeat
from trainer.codec.compressor import Codes, make_matrix_coder
from trainer.codec.container import decode_model
from trainer.recipe.codec import Brotli, CodecRecipe, ColumnRange, Lzma, Zlib, Zstd
from trainer.recipe.quantizer import DeviationClip, Rtn

SPREAD, CLIP, LEVELS = 0.2, 12.85, 31
# A quantizer whose codes are int8.
PLAIN = Rtn(kind="rtn", bits={"default": 8}, clip=DeviationClip(kind="deviations", k={"default": 20.0}))
CODECS: dict[str, CodecRecipe] = {
    "brotli-11": Brotli(kind="brotli"),
    "zstd-22": Zstd(kind="zstd"),
    "lzma-9": Lzma(kind="lzma", preset=9),
    "zlib-9": Zlib(kind="zlib"),
    "column_range": ColumnRange(kind="column_range"),
}


@dataclass(frozen=True, slots=True)
class Packed:
    """Size and times of one codec on some matrices."""

    codec: str
    size: int
    encode_seconds: float
    decode_seconds: float


def synthetic_codes(shapes: list[tuple[int, int]]) -> list[Codes]:
    """Return random codes distributed like those of trained weights."""
    rng = np.random.default_rng(0)
    matrices = []
    for rows, columns in shapes:
        width_C = np.exp(rng.normal(0, SPREAD, columns))
        weights_RC = rng.standard_normal((rows, columns)) * width_C / np.sqrt((width_C**2).mean())
        matrices.append(np.clip(np.rint(weights_RC * LEVELS / CLIP), -LEVELS, LEVELS).astype(np.int8))
    return matrices


def codes_of(artifact: Path) -> list[Codes]:
    """Return the code matrices of a packed model."""
    _, model = decode_model(artifact)
    return [part.codes_RC.numpy() for matrix in model.matrices.values() for part in matrix.parts()]


def compare(matrices: list[Codes], transposed: bool = True) -> list[Packed]:
    """Measure every codec on the same matrices, and brotli also column by column."""
    found = [measure(name, recipe, matrices) for name, recipe in CODECS.items()]
    if transposed:
        columns = [np.ascontiguousarray(matrix.T) for matrix in matrices]
        found.append(measure("brotli-11, transposed", CODECS["brotli-11"], columns))
    return found


def measure(name: str, recipe: CodecRecipe, matrices: list[Codes]) -> Packed:
    """Measure one codec and check its round trip."""
    coder = make_matrix_coder(recipe, PLAIN)
    began = time.perf_counter()
    data = coder.encode(matrices)
    encoded = time.perf_counter()
    back = coder.decode(data, [(matrix.shape[0], matrix.shape[1]) for matrix in matrices])
    decoded = time.perf_counter()
    assert all(np.array_equal(one, other) for one, other in zip(matrices, back, strict=True))
    return Packed(name, len(data), encoded - began, decoded - encoded)


def entropy_bytes(matrices: list[Codes]) -> float:
    """Return the bytes of an ideal coder that knows only the histogram of each matrix."""
    total = 0.0
    for matrix in matrices:
        counts = np.unique(matrix, return_counts=True)[1]
        total -= float((counts * np.log2(counts / matrix.size)).sum()) / 8
    return total


def table(matrices: list[Codes]) -> str:
    """Return the comparison as a Markdown table."""
    weights, floor = sum(matrix.size for matrix in matrices), entropy_bytes(matrices)
    rows = [f"{weights:,} codes, {floor:,.0f} bytes by the entropy of each matrix's histogram", ""]
    rows += ["| codec | bytes | bits a code | over entropy | encode | decode |", "|---|---|---|---|---|---|"]
    for packed in sorted(compare(matrices), key=lambda packed: packed.size):
        rows.append(
            f"| {packed.codec} | {packed.size:,} | {8 * packed.size / weights:.4f} | {packed.size / floor - 1:+.2%} | "
            f"{packed.encode_seconds:.2f} s | {packed.decode_seconds:.2f} s |"
        )
    return "\n".join(rows)


def measure_codecs(times: int) -> list[Timing]:
    """Time encoding and decoding of a million codes with column_range, and encoding with brotli."""
    matrices = synthetic_codes([(2048, 512)])
    shapes = [(2048, 512)]
    coder, plain = (make_matrix_coder(CODECS[name], PLAIN) for name in ("column_range", "brotli-11"))
    data = coder.encode(matrices)
    weights = matrices[0].size
    name = f"encode column_range ({len(data) / len(plain.encode(matrices)):.4f} of brotli)"
    return [
        Timing(name, repeat(lambda: coder.encode(matrices), times), weights, "codes"),
        Timing("decode column_range", repeat(lambda: coder.decode(data, shapes), times), weights, "codes"),
        Timing("encode brotli-11", repeat(lambda: plain.encode(matrices), times), weights, "codes"),
    ]


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        print(f"{argument}: {table(codes_of(Path(argument)))}\n")
    if not sys.argv[1:]:
        print(table(synthetic_codes([(2048, 512), (512, 2048), (512, 512), (512, 512)])))
