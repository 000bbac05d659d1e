"""Counts documents, tokens and UTF-8 bytes of whole shards with array operations.

The rule is that of ScoredByteCounter, which decodes document by document: a token counts the bytes of its piece, plus
one if the piece begins with the space mark and the token before it is not a boundary (control, unknown or unused).
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pgolf.data.shards import read_shard
from pgolf.errors import DataError
from trainer.recipe.data import piece_bytes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Takes about 100 MB of temporary arrays.
CHUNK_TOKENS = 1 << 22


class StreamCounter:
    """Running counts of documents, tokens and bytes of a token stream that arrives in parts."""

    def __init__(self, tokenizer: Any) -> None:
        import numpy as np

        pieces = [piece_bytes(tokenizer, token) for token in range(tokenizer.get_piece_size())]
        self.begin = tokenizer.bos_id()
        self.own = np.array([piece.own for piece in pieces], dtype=np.uint16)
        self.has_space = np.array([piece.has_space for piece in pieces])
        self.is_boundary = np.array([piece.is_boundary for piece in pieces])
        self.documents = self.tokens = self.bytes = 0
        self.was_boundary = True

    def add(self, tokens: "NDArray[np.uint16]") -> None:
        """Count the next tokens of the stream.

        Raises:
            DataError: the tokenizer lacks a token, or the stream does not begin with BOS.
        """
        import numpy as np

        if not len(tokens):
            return
        if int(tokens.max()) >= len(self.own):
            raise DataError(f"token {tokens.max()} is not one of the tokenizer's {len(self.own):,} pieces")
        if not self.tokens and tokens[0] != self.begin:
            raise DataError(f"found token {tokens[0]} first, expected the begin-of-document token ({self.begin})")
        boundary = self.is_boundary[tokens]
        after_boundary = np.concatenate(([self.was_boundary], boundary[:-1]))
        spaces = int(np.count_nonzero(self.has_space[tokens] & ~after_boundary))
        self.bytes += int(self.own[tokens].sum(dtype=np.int64)) + spaces
        self.documents += int(np.count_nonzero(tokens == self.begin))
        self.tokens += len(tokens)
        self.was_boundary = bool(boundary[-1])

    def add_shard(self, path: Path) -> int:
        """Count the next shard and return its number of tokens.

        Raises:
            DataError: a file is damaged; names it.
        """
        shard = read_shard(path)
        if not len(shard):
            raise DataError(f"{path}: the header says 0 tokens, expected at least one")
        try:
            for start in range(0, len(shard), CHUNK_TOKENS):
                self.add(shard[start : start + CHUNK_TOKENS])
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
        return len(shard)


def sidecar_bytes(path: Path, expected_tokens: int) -> int:
    """Return the UTF-8 bytes of one shard's tokens, by its sidecar.

    Raises:
        DataError: the file is no sidecar or its length is not the shard's.
    """
    import numpy as np

    numbers = read_shard(path)
    if len(numbers) != expected_tokens:
        raise DataError(f"{path}: found bytes of {len(numbers):,} tokens, expected {expected_tokens:,} as in its shard")
    return int(numbers.sum(dtype=np.int64))
