"""The codec slot: bytes to fewer bytes and back."""

from typing import Protocol

from trainer.recipe.codec import Brotli, CodecRecipe, Lzma, Zlib


class Compressor(Protocol):
    """What the container asks of a codec."""

    def compress(self, data: bytes) -> bytes: ...
    def decompress(self, data: bytes) -> bytes: ...


def make_compressor(recipe: CodecRecipe) -> Compressor:
    """The codec that a recipe names."""
    match recipe:
        case Brotli():
            from trainer.codec.brotli import BrotliCompressor

            return BrotliCompressor(recipe.quality)
        case Zlib():
            from trainer.codec.zlib import ZlibCompressor

            return ZlibCompressor(recipe.level)
        case Lzma():
            from trainer.codec.lzma import LzmaCompressor

            return LzmaCompressor(recipe.preset)
