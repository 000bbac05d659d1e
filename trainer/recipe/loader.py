"""Loaders: the order in which a run reads its tokens."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from trainer.recipe.strict import CHECKED, Count, Fraction, RecipeConflict, Whole


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
class LengthUntil:
    """A length that holds until a share of the budget is spent."""

    __pydantic_config__: ClassVar = CHECKED
    until: Fraction
    """Share of the budget at which it ends; 1 for the last length."""
    tokens: Count
    """Documents are cut after every so many of their tokens in a row."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DocumentRows:
    """Long rows of consecutive text; tokens attend only within their own document, and within a part of a long one.

    Each shard is read from its first document on, as in the records from #1530 on; the seed has no influence.
    Calibration reads sequences that cross documents, as theirs does.
    """

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["document_rows"]
    row_tokens: Count
    """Tokens of a row; divides the tokens of a forward pass."""
    longest: Count | tuple[LengthUntil, ...] | None = None
    """A document is cut after every so many of its tokens in a row: always the same number, or a list of `{until,
    tokens}` that follows the spent share of the budget (#2014). null cuts none, and refuses documents that do not fit
    in a row.
    """
    rewarm_steps: Whole = 32
    """Steps over which the learning rate climbs back to its schedule, from one part of it, after `longest` changes."""

    def __post_init__(self) -> None:
        stages = self.stages
        if most := [stage.tokens for stage in stages if stage.tokens > self.row_tokens]:
            raise RecipeConflict(f"longest {most[0]} is more than row_tokens {self.row_tokens}", "longest")
        ends = [stage.until for stage in stages]
        if self.longest is not None and (ends != sorted({*ends}) or not ends or ends[-1] != 1.0):
            raise RecipeConflict(
                f"found until {ends}, expected a list of {{until, tokens}} whose until rises to 1", "longest"
            )

    @property
    def stages(self) -> tuple[LengthUntil, ...]:
        """The lengths in turn; none if documents are not cut."""
        if self.longest is None or isinstance(self.longest, tuple):
            return self.longest or ()
        return (LengthUntil(until=1.0, tokens=self.longest),)

    def longest_at(self, progress: float) -> int | None:
        """Return the length at `progress` (0 at the start of the budget, 1 at its end)."""
        return next((stage.tokens for stage in self.stages if progress < stage.until or stage.until == 1.0), None)


LoaderRecipe = Sequential | ShuffledWindows | CoprimeStride | DocumentPacking | DocumentRows
