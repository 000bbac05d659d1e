"""The number of text bytes that each token stands for.

The rule is the challenge's: a piece counts its UTF-8 bytes without the leading space mark; the mark counts one byte
more unless the token before is a control, unknown or unused piece; a byte piece counts one; control, unknown and unused
pieces count none. Summed over a text this is its length in UTF-8; a data folder where it is not is refused.
"""

from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece
from numpy.typing import NDArray

from trainer.recipe.data import piece_bytes
from trainer.recipe.reading import read_bytes
from trainer.runtime.failure import DataRefused


class ByteCounts:
    """Bytes of each target, given the token before it."""

    def __init__(self, tokenizer: Any) -> None:
        pieces = [piece_bytes(tokenizer, token) for token in range(tokenizer.get_piece_size())]
        self.base = np.array([piece.own for piece in pieces], dtype=np.int64)
        self.has_space = np.array([piece.has_space for piece in pieces])
        self.is_boundary = np.array([piece.is_boundary for piece in pieces])

    def of_targets(self, tokens: NDArray[np.integer[Any]]) -> NDArray[np.uint16]:
        """Return the bytes of each token except the first. Shapes: (n,) -> (n - 1,)."""
        before, target = tokens[:-1], tokens[1:]
        has_counted_space = self.has_space[target] & ~self.is_boundary[before]
        return np.asarray(self.base[target] + has_counted_space, dtype=np.uint16)


def load_tokenizer(path: Path, vocabulary_size: int) -> Any:
    """Return the SentencePiece model in `path`.

    Raises:
        DataRefused: the file is missing or damaged, or the model has another number of pieces.
    """
    try:
        tokenizer = sentencepiece.SentencePieceProcessor(model_proto=read_bytes(path))
    except OSError as error:
        raise DataRefused(f"there is no tokenizer {path}: {error.strerror}") from error
    except (RuntimeError, ValueError) as error:
        raise DataRefused(f"{path} is not a SentencePiece model: {error}") from error
    if tokenizer.get_piece_size() != vocabulary_size:
        raise DataRefused(f"{path} has {tokenizer.get_piece_size()} pieces, the model expects {vocabulary_size}")
    return tokenizer
