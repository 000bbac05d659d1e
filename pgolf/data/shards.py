"""Writing and checking token shards; the format is described in trainer/recipe/data.py."""

import hashlib
from collections.abc import Iterator
from os import SEEK_END
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pgolf.data.manifests import ShardEntry
from pgolf.errors import DataError
from trainer.recipe.data import SHARD_HEADER_BYTES, SHARD_HEADER_INTS, SHARD_MAGIC, SHARD_VERSION, TOKEN_BYTES
from trainer.recipe.reading import open_regular
from trainer.recipe.writing import write_whole

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SHARD_TOKENS = 100_000_000


class ShardWriter:
    """Collects documents and writes a shard whenever one is full. A document may cross into the next shard."""

    def __init__(self, folder: Path, prefix: str, shard_tokens: int = SHARD_TOKENS) -> None:
        self.folder, self.prefix, self.shard_tokens = folder, prefix, shard_tokens
        self.pending: list[int] = []
        self.entries: list[ShardEntry] = []

    def add(self, tokens: list[int]) -> None:
        """Append tokens, writing shards as they fill."""
        self.pending += tokens
        while len(self.pending) >= self.shard_tokens:
            self.write(self.pending[: self.shard_tokens])
            del self.pending[: self.shard_tokens]

    def close(self) -> list[ShardEntry]:
        """Write the last shard and return the entries of all."""
        if self.pending:
            self.write(self.pending)
        return self.entries

    def write(self, tokens: list[int]) -> None:
        import numpy as np

        header = np.zeros(SHARD_HEADER_INTS, dtype="<i4")
        header[:3] = SHARD_MAGIC, SHARD_VERSION, len(tokens)
        content = header.tobytes() + np.asarray(tokens, dtype="<u2").tobytes()
        name = f"{self.prefix}_{len(self.entries):06d}.bin"
        write_whole(self.folder / name, content)
        digest = hashlib.sha256(content).hexdigest()
        self.entries.append(ShardEntry(file=name, tokens=len(tokens), sha256=digest))


def read_shard(path: Path) -> "NDArray[np.uint16]":
    """Return the tokens of a shard as a memory map.

    Raises:
        DataError: it cannot be read, or header or size are wrong.
    """
    import numpy as np

    try:
        with open_regular(path) as file:
            header = np.fromfile(file, dtype="<i4", count=SHARD_HEADER_INTS)
            size = file.seek(0, SEEK_END)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise DataError(str(error)) from error
    if len(header) < SHARD_HEADER_INTS or (header[0], header[1]) != (SHARD_MAGIC, SHARD_VERSION):
        raise DataError(f"{path} is not a token shard: found {size:,} bytes that begin with {header[:2].tolist()}")
    body = size - SHARD_HEADER_BYTES
    if header[2] < 0 or body != TOKEN_BYTES * int(header[2]):
        raise DataError(
            f"{path}: the header says {header[2]:,} tokens of {TOKEN_BYTES} bytes, but {body:,} bytes follow it"
        )
    if not body:
        return np.empty(0, dtype=np.uint16)  # an empty range cannot be mapped
    return np.memmap(path, dtype="<u2", mode="r", offset=SHARD_HEADER_BYTES)


def split_documents(tokens: "NDArray[Any]", begin: int) -> Iterator["NDArray[Any]"]:
    """Yield the documents of a token stream, each without its leading BOS.

    Raises:
        DataError: the stream does not begin with a BOS.
    """
    import numpy as np

    starts = np.flatnonzero(tokens == begin)
    if not len(tokens):
        return
    if not len(starts) or starts[0]:
        raise DataError(
            f"found {starts[0] if len(starts) else len(tokens):,} tokens before the first begin-of-document token "
            f"({begin}), expected none"
        )
    for start, stop in zip(starts, [*starts[1:], len(tokens)], strict=True):
        yield tokens[start + 1 : stop]
