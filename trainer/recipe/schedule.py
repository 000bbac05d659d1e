"""What each step sees: how many tokens, in sequences how long, at which share of the learning rate."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from trainer.recipe.loader import LoaderRecipe, Sequential
from trainer.recipe.strict import CHECKED, Count, Fraction, RecipeConflict

Clock = Literal["steps", "tokens", "seconds"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Warmdown:
    """Full learning rate, then a straight line down over the last `fraction` of the budget."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["warmdown"]
    clock: Clock
    """What progress is measured in; the budget's clock."""
    fraction: Fraction
    """Share of the budget spent going down."""
    floor: Fraction = 0.0
    """Learning-rate multiplier at the very end."""
    batch_tokens: Count
    """Tokens per optimizer step."""
    sequence_tokens: Count
    """Tokens per training sequence."""
    micro_batch_tokens: Count | None = None
    """Tokens per forward pass, where a whole batch does not fit in memory, or several processes are to share it."""
    loader: LoaderRecipe = field(default=Sequential(), metadata={"discriminator": "kind"})
    """In which order tokens are read."""

    def multiplier(self, progress: float) -> float:
        """Share of the learning rate at `progress` (0 at the start of the budget, 1 at its end)."""
        if not self.fraction:
            return 1.0
        remaining = min(1.0, max(0.0, 1.0 - progress) / self.fraction)
        return self.floor + (1.0 - self.floor) * remaining

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
        if micro % self.sequence_tokens:
            raise RecipeConflict(
                f"sequence_tokens {self.sequence_tokens} does not divide the {micro} tokens of a forward pass",
                "sequence_tokens",
            )


ScheduleRecipe = Warmdown
