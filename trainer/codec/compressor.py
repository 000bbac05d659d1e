"""The codec slot: compression of byte streams, and coding of integer matrices as bytes."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from trainer.recipe.codec import Brotli, CodecRecipe, ColumnRange, Lzma, Zlib, Zstd

Codes = NDArray[np.int8]
Shape = tuple[int, int]


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
    """A lossless codec of integer matrices."""

    def encode(self, matrices: Sequence[Codes]) -> bytes: ...

    def decode(self, data: bytes, shapes: Sequence[Shape]) -> list[Codes]:
        """Return the matrices, which have the given shapes.

        Raises:
            ValueError: the bytes do not decode to matrices of these shapes.
        """
        ...


class RowMajorCoder:
    """Matrices concatenated row by row into one stream, which a byte codec compresses."""

    def __init__(self, compressor: Compressor) -> None:
        self.compressor = compressor

    def encode(self, matrices: Sequence[Codes]) -> bytes:
        return self.compressor.compress(b"".join(codes_RC.tobytes() for codes_RC in matrices))

    def decode(self, data: bytes, shapes: Sequence[Shape]) -> list[Codes]:
        sizes = [rows * columns for rows, columns in shapes]
        stream = self.compressor.decompress(data, sum(sizes))
        if len(stream) != sum(sizes):
            raise ValueError(f"{len(stream):,} codes, expected {sum(sizes):,}")
        ends = np.cumsum(sizes)
        codes = np.frombuffer(stream, dtype=np.int8)
        return [codes[end - size : end].reshape(shape) for end, size, shape in zip(ends, sizes, shapes, strict=True)]


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


def make_matrix_coder(recipe: CodecRecipe) -> MatrixCoder:
    """Return the matrix codec that a recipe names."""
    match recipe:
        case ColumnRange():
            from trainer.codec.column_range import ColumnRangeCoder

            return ColumnRangeCoder()
    return RowMajorCoder(make_compressor(recipe))
