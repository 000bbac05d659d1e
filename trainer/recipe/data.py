"""Which tokens a run reads. The slot owns the vocabulary; the model takes its size from here.

A token shard is 256 little-endian int32 (magic, version, token count, zeros), then as many uint16 tokens and not a byte
more. Source: the challenge's data format, openai/parameter-golf.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from trainer.recipe.strict import CHECKED, Count

SHARD_MAGIC, SHARD_VERSION, SHARD_HEADER_INTS = 20240520, 1, 256
SHARD_HEADER_BYTES, TOKEN_BYTES = 4 * SHARD_HEADER_INTS, 2
# How SentencePiece writes a space.
SPACE_MARK = "\N{LOWER ONE EIGHTH BLOCK}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Shards:
    """A folder with manifest.json, tokenizer.model and token shards in the challenge's format."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["shards"]
    folder: str
    """The folder, relative to the file that names it."""
    vocabulary_size: Count | None = None
    """Pieces in the tokenizer; read from the manifest where the data is at hand."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Embedded:
    """The documentation that every Python installation carries, tokenized on first use and cached."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["embedded"]
    vocabulary_size: Count = 1024
    """Pieces in the tokenizer that is trained on the corpus's training half."""
    documents: Count | None = None
    """Only so many of its documents, for tests of a few seconds; null takes them all."""


DataRecipe = Shards | Embedded


@dataclass(frozen=True, slots=True)
class PieceBytes:
    """What one piece of a tokenizer adds to the bytes that are scored."""

    own: int = 0
    """UTF-8 bytes without a leading space mark."""
    has_space: bool = False
    """Whether it begins with the mark, one byte more unless the token before it is a boundary."""
    is_boundary: bool = False
    """Whether it is a control, unknown or unused piece."""


def piece_bytes(tokenizer: Any, token: int) -> PieceBytes:
    """The bytes of a piece of a SentencePiece tokenizer, by the challenge's rule."""
    if tokenizer.is_control(token) or tokenizer.is_unknown(token) or tokenizer.is_unused(token):
        return PieceBytes(is_boundary=True)
    if tokenizer.is_byte(token):
        return PieceBytes(own=1)
    piece = tokenizer.id_to_piece(token)
    text = piece.removeprefix(SPACE_MARK).replace(SPACE_MARK, " ")
    return PieceBytes(own=len(text.encode()), has_space=piece.startswith(SPACE_MARK))
