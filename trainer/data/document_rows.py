"""Rows of the stream in the order in which the records from #1530 on read them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.data.documents import document_start
from trainer.data.shards import TokenStream
from trainer.recipe.loader import DocumentRows
from trainer.runtime.failure import DataRefused


class DocumentRowsOrder:
    """Rows one after another. Each takes one token more, its last target; the next row begins after that token.

    Each shard is read from its first document on. The rest of a shard that is too short for all rows of a step is not
    read. After the last shard the first one follows.
    Source: openai/parameter-golf #1855, DocumentPackingLoader.
    """

    def __init__(self, recipe: DocumentRows, stream: TokenStream, rows: int, bos: int) -> None:
        self.stream, self.bos, self.row = stream, bos, recipe.row_tokens + 1
        self.starts: dict[int, int | None] = {}
        if recipe.longest is None:
            self.check_documents(recipe.row_tokens)
        fitting = [shard for shard in range(len(stream.parts)) if self.fits(shard, self.start(shard), rows)]
        if not fitting:
            raise DataRefused(
                f"no training shard has {rows * self.row:,} tokens from its first document (token {bos}) on: the rows "
                "of one step; lower recipe.schedule.batch_tokens or recipe.schedule.loader.row_tokens"
            )
        self.shard = fitting[0]
        self.position = self.start(self.shard) or 0

    def check_documents(self, most: int) -> None:
        """Check that each document fits in a row, since nothing cuts it.

        Raises:
            DataRefused: one does not; says which.
        """
        for part, name in zip(self.stream.parts, self.stream.names, strict=True):
            starts = np.append(np.flatnonzero(part == self.bos), len(part))
            lengths = np.diff(starts)
            if len(lengths) and lengths.max() > most:
                longest = int(lengths.argmax())
                raise DataRefused(
                    f"{name}: the document at token {starts[longest]:,} has {lengths[longest]:,} tokens, more than the "
                    f"{most:,} of a row; set recipe.schedule.loader.longest, which cuts documents, or longer rows"
                )

    def start(self, shard: int) -> int | None:
        """Return where in the stream the first document of a shard begins, or None if none does."""
        if shard not in self.starts:
            self.starts[shard] = document_start(self.stream, shard, self.bos)
        return self.starts[shard]

    def fits(self, shard: int, position: int | None, rows: int) -> bool:
        """Return whether a shard has so many rows from a position in the stream on."""
        return position is not None and position + rows * self.row <= self.stream.starts[shard + 1]

    def draw(self, windows: int) -> NDArray[np.int64]:
        for _ in range(len(self.stream.parts) + 1):
            if self.fits(self.shard, self.position, windows):
                break
            self.shard = (self.shard + 1) % len(self.stream.parts)
            start = self.start(self.shard)
            self.position = int(self.stream.starts[self.shard + 1]) if start is None else start
        else:
            raise DataRefused(f"no training shard has {windows * self.row:,} tokens from its first document on")
        starts = self.position + self.row * np.arange(windows, dtype=np.int64)
        self.position += self.row * windows
        return starts

    def state(self) -> dict[str, Any]:
        return {"shard": self.shard, "position": self.position}

    def restore(self, state: dict[str, Any]) -> None:
        self.shard, self.position = state["shard"], state["position"]
