"""Which tokens a run reads. The slot owns the vocabulary; the model takes its size from here."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from trainer.recipe.strict import CHECKED, Count


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
