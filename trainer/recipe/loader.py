"""In which order a run reads its tokens."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from trainer.recipe.strict import CHECKED, Count, RecipeConflict


@dataclass(frozen=True, kw_only=True, slots=True)
class Sequential:
    """One shard after the other, each from front to back; the baseline's loader. The seed does not move it."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["sequential"] = "sequential"


@dataclass(frozen=True, kw_only=True, slots=True)
class ShuffledWindows:
    """Every window of every shard once an epoch, in random order. Each epoch cuts each shard at another offset."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["shuffled_windows"]


@dataclass(frozen=True, kw_only=True, slots=True)
class CoprimeStride:
    """A step mixes windows of several shards; each shard is walked by a stride coprime to its number of windows."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["coprime_stride"]
    first_shards: Count = 8
    """Shards that the first step mixes."""
    last_shards: Count = 64
    """Shards that a step mixes once an epoch's worth of windows has been read; in between it grows in proportion."""

    def __post_init__(self) -> None:
        if self.first_shards > self.last_shards:
            raise RecipeConflict(
                f"first_shards {self.first_shards} is more than last_shards {self.last_shards}", "first_shards"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class DocumentPacking:
    """Sequential from the first document on, and no token attends to another document than its own.

    The mask is dense: sequence_tokens squared for each sequence. Evaluation protocols do cross documents.
    """

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["document_packing"]


LoaderRecipe = Sequential | ShuffledWindows | CoprimeStride | DocumentPacking
