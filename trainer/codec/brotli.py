"""Brotli compression."""

import brotli

# Codes of weights do not repeat over long distances: a window above 64 KiB takes longer and saves no bytes, a smaller
# one costs some. Long blocks save block headers.
WINDOW_BITS, BLOCK_BITS = 16, 24


class BrotliCompressor:
    """Brotli (RFC 7932) at a given quality."""

    def __init__(self, quality: int = 11) -> None:
        self.quality = quality

    def compress(self, data: bytes) -> bytes:
        return bytes(brotli.compress(data, quality=self.quality, lgwin=WINDOW_BITS, lgblock=BLOCK_BITS))

    def decompress(self, data: bytes, max_bytes: int) -> bytes:
        decompressor = brotli.Decompressor()
        try:
            found = bytes(decompressor.process(data, output_buffer_limit=max_bytes + 1))
        except brotli.error as error:
            raise ValueError(str(error)) from error
        if not decompressor.is_finished():
            raise ValueError(f"the stream is cut short, or holds more than {max_bytes:,} bytes")
        return found
