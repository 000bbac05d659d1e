"""Token shards read as one circular stream; trainer/recipe/data.py describes the file format."""

from collections.abc import Sequence
from os import SEEK_END

import numpy as np
from numpy.typing import NDArray

from trainer.data.manifest import ShardFile
from trainer.recipe.data import SHARD_HEADER_BYTES, SHARD_HEADER_INTS, SHARD_MAGIC, SHARD_VERSION, TOKEN_BYTES
from trainer.recipe.reading import open_regular
from trainer.runtime.failure import DataRefused


def map_shard(shard: ShardFile) -> NDArray[np.uint16]:
    """Return the tokens of a shard, memory-mapped.

    Raises:
        DataRefused: the file cannot be read, or its header or size is not exactly what the manifest says.
    """
    try:
        with open_regular(shard.path) as file:
            header = np.fromfile(file, dtype="<i4", count=SHARD_HEADER_INTS)
            size = file.seek(0, SEEK_END)
    except OSError as error:
        raise DataRefused(f"{shard.path}: {error.strerror}") from error
    except ValueError as error:
        raise DataRefused(str(error)) from error
    found, magic = header[:2].tolist(), [SHARD_MAGIC, SHARD_VERSION]
    if len(header) < SHARD_HEADER_INTS or found != magic:
        raise DataRefused(f"{shard.path} is not a token shard: it begins with {found}, expected {magic}")
    expected = SHARD_HEADER_BYTES + TOKEN_BYTES * shard.tokens
    if header[2] != shard.tokens or size != expected:
        raise DataRefused(
            f"{shard.path}: {size:,} bytes and a header for {header[2]:,} tokens, expected {expected:,} bytes for "
            f"{shard.tokens:,} tokens; the file was changed or truncated"
        )
    return np.memmap(shard.path, dtype="<u2", mode="r", offset=SHARD_HEADER_BYTES, shape=(shard.tokens,))


class TokenStream:
    """Shards as one circular stream of tokens."""

    def __init__(self, shards: Sequence[ShardFile]) -> None:
        self.parts = [map_shard(shard) for shard in shards]
        self.names = [shard.path.name for shard in shards]
        self.starts = np.cumsum([0, *(len(part) for part in self.parts)])
        self.lengths = [len(part) for part in self.parts]
        if not len(self):
            raise DataRefused("the training shards hold no tokens")

    def __len__(self) -> int:
        return int(self.starts[-1])

    def read(self, position: int, count: int) -> NDArray[np.int64]:
        """Return `count` tokens from `position` on; after the last token the first one follows."""
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
