"""LZMA compression."""

import lzma


class LzmaCompressor:
    """LZMA2 in an xz container."""

    def __init__(self, preset: int) -> None:
        self.preset = preset

    def compress(self, data: bytes) -> bytes:
        return lzma.compress(data, preset=self.preset)

    def decompress(self, data: bytes, max_bytes: int) -> bytes:
        decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ)
        try:
            found = decompressor.decompress(data, max_length=max_bytes + 1)
        except lzma.LZMAError as error:
            raise ValueError(str(error)) from error
        if not decompressor.eof:
            raise ValueError(f"the stream is cut short, or holds more than {max_bytes:,} bytes")
        return found
