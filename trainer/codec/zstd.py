"""Zstandard compression."""

import zstandard


class ZstdCompressor:
    """Zstandard (RFC 8878) at a given level."""

    def __init__(self, level: int) -> None:
        self.level = level

    def compress(self, data: bytes) -> bytes:
        return zstandard.ZstdCompressor(level=self.level).compress(data)

    def decompress(self, data: bytes, max_bytes: int) -> bytes:
        try:
            if zstandard.frame_content_size(data) > max_bytes:
                raise ValueError(f"the stream holds more than {max_bytes:,} bytes")
            return zstandard.ZstdDecompressor().decompress(data, max_output_size=max_bytes + 1)
        except zstandard.ZstdError as error:
            raise ValueError(str(error)) from error
