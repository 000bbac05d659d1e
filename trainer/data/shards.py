"""Token shards as one circle of tokens; the format is described in trainer/recipe/data.py."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trainer.data.manifest import ShardFile
from trainer.recipe.data import SHARD_HEADER_BYTES, SHARD_HEADER_INTS, SHARD_MAGIC, SHARD_VERSION, TOKEN_BYTES
from trainer.runtime.failure import DataRefused


def map_shard(shard: ShardFile) -> NDArray[np.uint16]:
    """The tokens of a shard, mapped and not read.

    Raises: DataRefused when header or size are not exact.
    """
    try:
        size = shard.path.stat().st_size
        header = np.fromfile(shard.path, dtype="<i4", count=SHARD_HEADER_INTS)
    except OSError as error:
        raise DataRefused(f"{shard.path}: {error.strerror}") from error
    if len(header) < SHARD_HEADER_INTS or (header[0], header[1]) != (SHARD_MAGIC, SHARD_VERSION):
        raise DataRefused(f"{shard.path} is not a token shard (magic and version are {header[:2].tolist()})")
    expected = SHARD_HEADER_BYTES + TOKEN_BYTES * shard.tokens
    if header[2] != shard.tokens or size != expected:
        raise DataRefused(
            f"{shard.path}: {size:,} bytes and a header for {header[2]:,} tokens; "
            f"the manifest says {expected:,} bytes for {shard.tokens:,}"
        )
    return np.memmap(shard.path, dtype="<u2", mode="r", offset=SHARD_HEADER_BYTES, shape=(shard.tokens,))


class TokenStream:
    """Shards as one circle of tokens."""

    def __init__(self, shards: Sequence[ShardFile]) -> None:
        self.parts = [map_shard(shard) for shard in shards]
        self.starts = np.cumsum([0, *(len(part) for part in self.parts)])
        self.lengths = [len(part) for part in self.parts]
        if not len(self):
            raise DataRefused("the training shards hold no tokens")

    def __len__(self) -> int:
        return int(self.starts[-1])

    def read(self, position: int, count: int) -> NDArray[np.int64]:
        """`count` tokens from `position` on, going round the circle."""
        pieces: list[NDArray[np.uint16]] = []
        position %= len(self)
        while count > 0:
            shard = int(np.searchsorted(self.starts, position, side="right")) - 1
            offset = position - int(self.starts[shard])
            piece = self.parts[shard][offset : offset + count]
            pieces.append(piece)
            count -= len(piece)
            position = (position + len(piece)) % len(self)
        return np.concatenate(pieces).astype(np.int64)
