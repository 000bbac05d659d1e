"""LZMA."""

import lzma


class LzmaCompressor:
    """LZMA2 in an xz container."""

    def __init__(self, preset: int) -> None:
        self.preset = preset

    def compress(self, data: bytes) -> bytes:
        return lzma.compress(data, preset=self.preset)

    def decompress(self, data: bytes) -> bytes:
        return lzma.decompress(data)
