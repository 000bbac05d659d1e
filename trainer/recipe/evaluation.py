"""By which protocol the decoded artifact is scored. Every one scores each of the n - 1 targets exactly once."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from trainer.recipe.strict import CHECKED, Count, RecipeConflict


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunked:
    """Disjoint windows: the first target of a window has no context but its input token."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["chunked"]
    window: Count
    """Targets per window."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sliding:
    """Overlapping windows: each scores its last `stride` targets, so that most have window - stride tokens of
    context.
    """

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["sliding"]
    window: Count
    """Tokens per window."""
    stride: Count
    """New targets per window."""

    def __post_init__(self) -> None:
        if self.stride > self.window:
            raise RecipeConflict(f"stride {self.stride} is longer than window {self.window}", "stride")


EvaluationRecipe = Chunked | Sliding
