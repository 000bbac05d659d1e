"""zlib compression."""

import zlib


class ZlibCompressor:
    """DEFLATE in a zlib container (RFC 1950)."""

    def __init__(self, level: int) -> None:
        self.level = level

    def compress(self, data: bytes) -> bytes:
        return zlib.compress(data, self.level)

    def decompress(self, data: bytes, max_bytes: int) -> bytes:
        decompressor = zlib.decompressobj()
        try:
            found = decompressor.decompress(data, max_bytes + 1)
        except zlib.error as error:
            raise ValueError(str(error)) from error
        if not decompressor.eof:
            raise ValueError(f"the stream is cut short, or holds more than {max_bytes:,} bytes")
        return found
