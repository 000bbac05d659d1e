"""Counts documents, tokens and UTF-8 bytes of whole shards with array operations.

The rule is that of ScoredByteCounter, which decodes document by document: a token counts the bytes of its piece, plus
one if the piece begins with the space mark and the token before it is not a boundary (control, unknown or unused).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pgolf.data.encoding import caseops_bytes, original_text
from pgolf.data.shards import read_shard, split_documents
from pgolf.errors import DataError
from trainer.recipe.data import Transform, piece_bytes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Takes about 100 MB of temporary arrays.
CHUNK_TOKENS = 1 << 22


class StreamCounter:
    """Running counts of documents, tokens and bytes of a token stream that arrives in parts.

    Raises:
        DataError: the tokenizer lacks the pieces that the transform of the text needs.
    """

    def __init__(self, tokenizer: Any, transform: Transform | None = None) -> None:
        import numpy as np

        self.original_bytes = None if transform is None else caseops_bytes(tokenizer)
        self.unfinished = np.empty(0, dtype=np.uint16)

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
        self.bytes += self.bytes_of(tokens)
        self.documents += int(np.count_nonzero(tokens == self.begin))
        self.tokens += len(tokens)

    def bytes_of(self, tokens: "NDArray[np.uint16]") -> int:
        """Return what the next tokens of the stream add to its bytes."""
        import numpy as np

        if self.original_bytes is not None:
            # What a token of a document stands for depends on the tokens before it, so all of a document is counted
            # anew with each part of it.
            before = int(self.original_bytes.of(self.unfinished).sum(dtype=np.int64))
            tokens = np.concatenate((self.unfinished, tokens))
            starts = np.flatnonzero(tokens == self.begin)
            self.unfinished = tokens[starts[-1] :]
            return int(self.original_bytes.of(tokens).sum(dtype=np.int64)) - before
        boundary = self.is_boundary[tokens]
        after_boundary = np.concatenate(([self.was_boundary], boundary[:-1]))
        spaces = int(np.count_nonzero(self.has_space[tokens] & ~after_boundary))
        self.was_boundary = bool(boundary[-1])
        return int(self.own[tokens].sum(dtype=np.int64)) + spaces

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


def check_sidecars(sidecars: Sequence[Path], shards: Sequence[Path], tokenizer: Any) -> int:
    """Return the bytes of a text by its sidecars, one for each shard.

    Each document is decoded, and its original text encoded again.

    Raises:
        DataError: a file is no sidecar, there is not one for each shard and as long, or a document has other bytes.
    """
    import numpy as np

    if len(sidecars) != len(shards):
        raise DataError(f"found {len(sidecars)} byte sidecars for {len(shards)} validation shards, expected as many")
    counts, tokens = ([read_shard(path) for path in paths] for paths in (sidecars, shards))
    for path, shard, found, expected in zip(sidecars, shards, counts, tokens, strict=True):
        if len(found) != len(expected):
            raise DataError(
                f"{path}: found bytes of {len(found):,} tokens, expected {len(expected):,} as in {shard.name}"
            )
    numbers, stream, begin = np.concatenate(counts), np.concatenate(tokens), tokenizer.bos_id()
    where = sidecars[0].parent
    if (wrong := caseops_bytes(tokenizer).first_wrong(stream, numbers, begin)) is not None:
        raise DataError(f"{where}: {wrong}")
    position = 0
    for document in split_documents(stream, begin):
        check_document(document.tolist(), int(numbers[position : position + 1 + len(document)].sum()), tokenizer, where)
        position += 1 + len(document)
    return int(numbers.sum(dtype=np.int64))


def check_document(tokens: list[int], counted: int, tokenizer: Any, where: Path) -> None:
    """Check that a document of CaseOps text has as many bytes as its sidecar counts.

    Raises:
        DataError: it has not, or is not CaseOps text.
    """
    original = original_text(tokenizer.decode(tokens), "caseops")
    if original is None:
        raise DataError(f"{where}: a document is not CaseOps text: {tokenizer.decode(tokens)[:60]!r}")
    # As without CaseOps, the space mark of a text that begins with a space follows a control token and is not counted.
    is_space_lost = len(original.encode()) == counted + 1 and original.startswith(" ")
    if len(original.encode()) != counted and not is_space_lost:
        raise DataError(
            f"{where}: a document has {len(original.encode()):,} bytes, its sidecar counts {counted:,}: "
            f"{original[:60]!r}"
        )
