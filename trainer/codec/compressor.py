"""The codec slot: compression of byte streams, and coding of integer matrices as bytes."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from trainer.recipe.codec import Brotli, CodecRecipe, ColumnRange, Lzma, Zlib, Zstd
from trainer.recipe.quantizer import FisherSteps, QuantizerRecipe, TrellisGptq, trellis_states

Codes = NDArray[np.signedinteger[Any]]
"""int8, or int16 where steps follow sensitivity."""
Shape = tuple[int, int]
Steps = NDArray[np.float16]


class Compressor(Protocol):
    """A lossless codec of bytes."""

    def compress(self, data: bytes) -> bytes: ...

    def decompress(self, data: bytes, max_bytes: int) -> bytes:
        """Return the decompressed bytes, holding at most `max_bytes` + 1 of them in memory.

        Raises:
            ValueError: the data is not a whole stream of this codec, or holds more than `max_bytes`.
        """
        ...


class MatrixCoder(Protocol):
    """A lossless codec of integer matrices.

    A coder may use the steps of the rows of each matrix, whose signs say which follow the trellis of the quantizer.
    """

    def encode(self, matrices: Sequence[Codes], steps: Sequence[Steps] = ()) -> bytes: ...

    def decode(self, data: bytes, shapes: Sequence[Shape], steps: Sequence[Steps] = ()) -> list[Codes]:
        """Return the matrices, which have the given shapes.

        Raises:
            ValueError: the bytes do not decode to matrices of these shapes.
        """
        ...


class RowMajorCoder:
    """Matrices concatenated row by row into one stream, which a byte codec compresses."""

    def __init__(self, compressor: Compressor) -> None:
        self.compressor = compressor

    def encode(self, matrices: Sequence[Codes], steps: Sequence[Steps] = ()) -> bytes:
        return self.compressor.compress(b"".join(codes_RC.tobytes() for codes_RC in matrices))

    def decode(self, data: bytes, shapes: Sequence[Shape], steps: Sequence[Steps] = ()) -> list[Codes]:
        sizes = [rows * columns for rows, columns in shapes]
        stream = self.compressor.decompress(data, sum(sizes))
        if len(stream) != sum(sizes):
            raise ValueError(f"{len(stream):,} codes, expected {sum(sizes):,}")
        ends = np.cumsum(sizes)
        codes = np.frombuffer(stream, dtype=np.int8)
        return [codes[end - size : end].reshape(shape) for end, size, shape in zip(ends, sizes, shapes, strict=True)]


class WideRowMajorCoder:
    """Matrices of int16 as one stream: the low bytes of all codes, then the high bytes."""

    def __init__(self, compressor: Compressor) -> None:
        self.planes = RowMajorCoder(compressor)

    def encode(self, matrices: Sequence[Codes], steps: Sequence[Steps] = ()) -> bytes:
        folded = [fold(codes_RC) for codes_RC in matrices]
        low, high = ([(each_RC >> shift).astype(np.int8) for each_RC in folded] for shift in (0, 8))
        return self.planes.encode([*low, *high])

    def decode(self, data: bytes, shapes: Sequence[Shape], steps: Sequence[Steps] = ()) -> list[Codes]:
        planes = self.planes.decode(data, [*shapes, *shapes])
        halves = zip(planes[: len(shapes)], planes[len(shapes) :], strict=True)
        return [unfold(low.astype(np.uint8), high.astype(np.uint8)) for low, high in halves]


def fold(codes_RC: Codes) -> NDArray[np.uint16]:
    """Return 0, 1, 2, 3, 4 ... for 0, -1, 1, -2, 2 ..., so that small codes have high bytes of 0."""
    wide_RC = codes_RC.astype(np.int32)
    return (wide_RC << 1 ^ wide_RC >> 31).astype(np.uint16)


def unfold(low_RC: NDArray[np.uint8], high_RC: NDArray[np.uint8]) -> NDArray[np.int16]:
    """Return the codes whose folded values have these low and high bytes."""
    folded_RC = low_RC.astype(np.int32) | high_RC.astype(np.int32) << 8
    return (folded_RC >> 1 ^ -(folded_RC & 1)).astype(np.int16)


def make_compressor(recipe: CodecRecipe) -> Compressor:
    """Return the byte codec that a recipe names."""
    match recipe:
        case Brotli():
            from trainer.codec.brotli import BrotliCompressor

            return BrotliCompressor(recipe.quality)
        case ColumnRange():
            from trainer.codec.brotli import BrotliCompressor

            return BrotliCompressor()
        case Zstd():
            from trainer.codec.zstd import ZstdCompressor

            return ZstdCompressor(recipe.level)
        case Zlib():
            from trainer.codec.zlib import ZlibCompressor

            return ZlibCompressor(recipe.level)
        case Lzma():
            from trainer.codec.lzma import LzmaCompressor

            return LzmaCompressor(recipe.preset)


def make_matrix_coder(recipe: CodecRecipe, quantizer: QuantizerRecipe) -> MatrixCoder:
    """Return the matrix codec that a recipe names, for the codes of a quantizer."""
    if isinstance(quantizer, TrellisGptq) or isinstance(quantizer.steps, FisherSteps):
        return make_wide_coder(recipe, trellis_states(quantizer))
    match recipe:
        case ColumnRange():
            from trainer.codec.column_range import ColumnRangeCoder

            return ColumnRangeCoder()
    return RowMajorCoder(make_compressor(recipe))


def make_wide_coder(recipe: CodecRecipe, states: int) -> MatrixCoder:
    """Return the matrix codec that a recipe names, for codes of int16 that follow a trellis of some states or none."""
    match recipe:
        case ColumnRange():
            from trainer.codec.width_range import WidthRangeCoder

            return WidthRangeCoder(states)
    return WideRowMajorCoder(make_compressor(recipe))
