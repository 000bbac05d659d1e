"""The schedule: tokens per step, sequence length and learning rate over a run."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from trainer.recipe.loader import DocumentRows, LoaderRecipe, Sequential
from trainer.recipe.strict import CHECKED, Count, Fraction, RecipeConflict

Clock = Literal["steps", "tokens", "seconds"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Warmdown:
    """Constant learning rate, then a linear warmdown over the last `fraction` of the budget."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["warmdown"]
    clock: Clock
    """Unit of progress; equal to `budget.clock`."""
    fraction: Fraction
    """Share of the budget that the warmdown takes; 0 has none."""
    floor: Fraction = 0.0
    """Learning-rate multiplier at the end of the budget."""
    batch_tokens: Count
    """Tokens per optimizer step, over all processes."""
    sequence_tokens: Count
    """Tokens per training sequence; divides the tokens of a forward pass. With `document_rows`, whose rows replace
    sequences in training, only those of calibration and of comparing averages.
    """
    micro_batch_tokens: Count | None = None
    """Tokens per forward pass, for a batch that does not fit in memory or that several processes share; divides
    `batch_tokens`. null uses `batch_tokens`.
    """
    loader: LoaderRecipe = field(default=Sequential(), metadata={"discriminator": "kind"})
    """Order in which training text is read."""

    def multiplier(self, progress: float) -> float:
        """Return the learning-rate multiplier at `progress` (0 at the start of the budget, 1 at its end)."""
        if not self.fraction:
            return 1.0
        remaining = min(1.0, max(0.0, 1.0 - progress) / self.fraction)
        return self.floor + (1.0 - self.floor) * remaining

    @property
    def window_tokens(self) -> int:
        """Tokens of a row of a forward pass."""
        return self.loader.row_tokens if isinstance(self.loader, DocumentRows) else self.sequence_tokens

    @property
    def micro_tokens(self) -> int:
        """Tokens per forward pass."""
        return self.micro_batch_tokens or self.batch_tokens

    @property
    def micro_steps(self) -> int:
        """Forward passes per optimizer step, over all processes."""
        return self.batch_tokens // self.micro_tokens

    def __post_init__(self) -> None:
        micro = self.micro_tokens
        if self.batch_tokens % micro:
            raise RecipeConflict(
                f"micro_batch_tokens {micro} does not divide batch_tokens {self.batch_tokens}", "micro_batch_tokens"
            )
        if micro % self.window_tokens:
            path = ("loader", "row_tokens") if isinstance(self.loader, DocumentRows) else ("sequence_tokens",)
            raise RecipeConflict(
                f"{path[-1]} {self.window_tokens} does not divide the {micro} tokens of a forward pass", *path
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class ClampedWarmdown(Warmdown):
    """A warmdown towards `floor` that is held at `clamp` once it is there, as in the records from #1787 on."""

    kind: Literal["clamped_warmdown"]  # type: ignore[assignment]
    clamp: Fraction
    """Smallest learning-rate multiplier."""

    def multiplier(self, progress: float) -> float:
        """Return the learning-rate multiplier at `progress` (0 at the start of the budget, 1 at its end)."""
        return max(self.clamp, Warmdown.multiplier(self, progress))  # slots leave no `super()`


ScheduleRecipe = Warmdown | ClampedWarmdown
