"""Brotli."""

import brotli


class BrotliCompressor:
    """RFC 7932 with the largest window."""

    def __init__(self, quality: int) -> None:
        self.quality = quality

    def compress(self, data: bytes) -> bytes:
        return bytes(brotli.compress(data, quality=self.quality, lgwin=24))

    def decompress(self, data: bytes) -> bytes:
        return bytes(brotli.decompress(data))
