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

    Scoring does not keep documents apart, but for the `document` and `document_lora` evaluations.
    """

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["document_packing"]


@dataclass(frozen=True, kw_only=True, slots=True)
class DocumentRows:
    """Long rows of consecutive text; tokens attend only within their own document, and within a part of a long one.

    Each shard is read from its first document on, as in the records from #1530 on; the seed has no influence.
    """

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["document_rows"]
    row_tokens: Count
    """Tokens of a row; divides the tokens of a forward pass."""
    longest: Count | None = None
    """A document is cut after every so many of its tokens in a row; null cuts none, and refuses documents that do not
    fit in a row.
    """

    def __post_init__(self) -> None:
        if self.longest is not None and self.longest > self.row_tokens:
            raise RecipeConflict(f"longest {self.longest} is more than row_tokens {self.row_tokens}", "longest")


LoaderRecipe = Sequential | ShuffledWindows | CoprimeStride | DocumentPacking | DocumentRows
