"""Which tokens a run reads. The slot owns the vocabulary; the model takes its size from here.

A token shard is 256 little-endian int32 (magic, version, token count, zeros), then as many uint16 tokens and not a byte
more. Source: the challenge's data format, openai/parameter-golf.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

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


DataRecipe = Shards | Embedded
