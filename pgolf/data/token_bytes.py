"""Documents, tokens and UTF-8 bytes of whole shards, counted in arrays.

The same rule as ScoredBytes, which decodes document by document: a token stands for the bytes of its piece, and for one
more if the piece begins with the space mark and the token before it is not a boundary (control, unknown or unused).
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pgolf.data.shards import read_shard
from pgolf.errors import DataError
from trainer.recipe.data import piece_bytes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Some 100 MB of temporary arrays.
CHUNK_TOKENS = 1 << 22


class TokenBytes:
    """Running counts of a token stream; the token before each part of it is remembered."""

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
        """Nothing; the tokens are counted.

        Raises: DataError for a token that the tokenizer does not have, or one before the first document.
        """
        import numpy as np

        if not len(tokens):
            return
        if int(tokens.max()) >= len(self.own):
            raise DataError(f"token {tokens.max()} is not among the tokenizer's {len(self.own):,} pieces")
        if not self.tokens and tokens[0] != self.begin:
            raise DataError(f"begins with token {tokens[0]}, not with a begin-of-document ({self.begin})")
        boundary = self.is_boundary[tokens]
        after_boundary = np.concatenate(([self.was_boundary], boundary[:-1]))
        spaces = int(np.count_nonzero(self.has_space[tokens] & ~after_boundary))
        self.bytes += int(self.own[tokens].sum(dtype=np.int64)) + spaces
        self.documents += int(np.count_nonzero(tokens == self.begin))
        self.tokens += len(tokens)
        self.was_boundary = bool(boundary[-1])

    def add_shard(self, path: Path) -> int:
        """The tokens of a shard, now counted.

        Raises: DataError naming the file and what is not exact in it.
        """
        shard = read_shard(path)
        if not len(shard):
            raise DataError(f"{path}: the header says 0 tokens; a published shard has some")
        try:
            for start in range(0, len(shard), CHUNK_TOKENS):
                self.add(shard[start : start + CHUNK_TOKENS])
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
        return len(shard)


def sidecar_bytes(path: Path, expected_tokens: int) -> int:
    """The UTF-8 bytes that a sidecar gives to the tokens of one shard.

    Raises: DataError when it is not one, or is of another shard.
    """
    import numpy as np

    numbers = read_shard(path)
    if len(numbers) != expected_tokens:
        raise DataError(f"{path} has bytes of {len(numbers):,} tokens, its shard has {expected_tokens:,}")
    return int(numbers.sum(dtype=np.int64))
