"""Shards for tests of the trainer, written without the project's own writer."""

import struct
from pathlib import Path

from trainer.data.manifest import ShardFile
from trainer.data.shards import TokenStream


def write_shard(
    path: Path, tokens: list[int], magic: int = 20240520, version: int = 1, extra: bytes = b""
) -> ShardFile:
    header = struct.pack("<256i", magic, version, len(tokens), *[0] * 253)
    path.write_bytes(header + struct.pack(f"<{len(tokens)}H", *tokens) + extra)
    return ShardFile(path, len(tokens))


def counting_stream(folder: Path, *sizes: int) -> TokenStream:
    """Return shards of these sizes whose tokens count up from 0: each token is its own position."""
    shards, start = [], 0
    for number, size in enumerate(sizes):
        shards.append(write_shard(folder / f"{number}.bin", list(range(start, start + size))))
        start += size
    return TokenStream(shards)
