"""Data: the tokens that a run reads. The vocabulary size is set here; the model takes it from here.

A token shard is 256 little-endian int32 (magic, version, token count, zeros) followed by exactly that many uint16
tokens. Source: the challenge's data format, openai/parameter-golf.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from trainer.recipe.strict import CHECKED, Count

SHARD_MAGIC, SHARD_VERSION, SHARD_HEADER_INTS = 20240520, 1, 256
SHARD_HEADER_BYTES, TOKEN_BYTES = 4 * SHARD_HEADER_INTS, 2
# The character that SentencePiece uses for a space.
SPACE_MARK = "\N{LOWER ONE EIGHTH BLOCK}"

Transform = Literal["caseops"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Shards:
    """A folder as `pgolf data` writes it: manifest.json, tokenizer.model, token shards in the challenge's format."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["shards"]
    folder: str
    """Path of the folder, relative to the file that names it."""
    vocabulary_size: Count | None = None
    """Number of pieces in the tokenizer; null reads it from the manifest, if the data is on this machine."""
    transform: Transform | None = None
    """How the text was rewritten before it was tokenized, as its manifest says; null: not at all. `caseops`: capitals
    became operators and small letters (#1729); scores count the bytes of the original text.
    """


@dataclass(frozen=True, kw_only=True, slots=True)
class Embedded:
    """The documentation that is part of every Python installation, tokenized on first use and cached."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["embedded"]
    vocabulary_size: Count = 1024
    """Number of pieces in the tokenizer, which is trained on the training split."""
    documents: Count | None = None
    """Number of documents to use, for tests of a few seconds; null uses all."""
    transform: Transform | None = None
    """How the text is rewritten before it is tokenized; null: not at all."""


DataRecipe = Shards | Embedded


@dataclass(frozen=True, slots=True)
class PieceBytes:
    """The bytes that one piece of a tokenizer stands for."""

    own: int = 0
    """UTF-8 bytes without a leading space mark."""
    has_space: bool = False
    """Whether it begins with the mark, which is one more byte unless the token before is a boundary."""
    is_boundary: bool = False
    """Whether it is a control, unknown or unused piece."""


def piece_bytes(tokenizer: Any, token: int) -> PieceBytes:
    """Return the bytes of a piece of a SentencePiece tokenizer, by the challenge's rule."""
    if tokenizer.is_control(token) or tokenizer.is_unknown(token) or tokenizer.is_unused(token):
        return PieceBytes(is_boundary=True)
    if tokenizer.is_byte(token):
        return PieceBytes(own=1)
    piece = tokenizer.id_to_piece(token)
    text = piece.removeprefix(SPACE_MARK).replace(SPACE_MARK, " ")
    return PieceBytes(own=len(text.encode()), has_space=piece.startswith(SPACE_MARK))
