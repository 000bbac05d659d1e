"""Loaders: the order in which a run reads its tokens."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from trainer.recipe.strict import CHECKED, Count, RecipeConflict


@dataclass(frozen=True, kw_only=True, slots=True)
class Sequential:
    """Shards one after another, each from beginning to end, like the baseline; the seed has no influence."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["sequential"] = "sequential"


@dataclass(frozen=True, kw_only=True, slots=True)
class ShuffledWindows:
    """All windows of all shards once per epoch, in random order. Each epoch cuts each shard at a new offset."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["shuffled_windows"]


@dataclass(frozen=True, kw_only=True, slots=True)
class CoprimeStride:
    """Each step mixes windows of several shards, each visited with a stride coprime to its number of windows."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["coprime_stride"]
    first_shards: Count = 8
    """Number of shards that the first step mixes."""
    last_shards: Count = 64
    """Number of shards that a step mixes after one epoch of windows; until then the number grows linearly."""

    def __post_init__(self) -> None:
        if self.first_shards > self.last_shards:
            raise RecipeConflict(
                f"first_shards {self.first_shards} is greater than last_shards {self.last_shards}", "first_shards"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class DocumentPacking:
    """Sequential from the first document on; tokens attend only within their own document.

    The attention mask is dense: sequence_tokens^2 entries per sequence. Scoring has no such mask; only the
    `document` and `document_lora` evaluations keep documents apart.
    """

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["document_packing"]


LoaderRecipe = Sequential | ShuffledWindows | CoprimeStride | DocumentPacking
