"""DEFLATE."""

import zlib


class ZlibCompressor:
    """RFC 1950."""

    def __init__(self, level: int) -> None:
        self.level = level

    def compress(self, data: bytes) -> bytes:
        return zlib.compress(data, self.level)

    def decompress(self, data: bytes, at_most: int) -> bytes:
        decompressor = zlib.decompressobj()
        try:
            found = decompressor.decompress(data, at_most + 1)
        except zlib.error as error:
            raise ValueError(str(error)) from error
        if not decompressor.eof:
            raise ValueError(f"the stream is cut short, or holds more than {at_most:,} bytes")
        return found
