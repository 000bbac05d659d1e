"""The recipe: what is trained and scored, independent of where it runs."""

from dataclasses import dataclass, field
from math import ceil
from typing import ClassVar

from trainer.recipe.averaging import AveragingRecipe
from trainer.recipe.budget import Budget
from trainer.recipe.codec import CodecRecipe
from trainer.recipe.compute import Compute
from trainer.recipe.data import DataRecipe
from trainer.recipe.evaluation import EvaluationRecipe
from trainer.recipe.model import Gpt
from trainer.recipe.optimizer import OptimizerRecipe
from trainer.recipe.pattern_check import check_every_pattern
from trainer.recipe.plan import plan_change_progress
from trainer.recipe.quantizer import QuantizerRecipe
from trainer.recipe.schedule import ScheduleRecipe
from trainer.recipe.strict import CHECKED, RecipeConflict


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """What is trained and scored: nine slots, and how to compute.

    Only this part of a spec is stored in the artifact.
    """

    __pydantic_config__: ClassVar = CHECKED
    data: DataRecipe = field(metadata={"discriminator": "kind"})
    """Training and validation tokens, and the vocabulary size."""
    model: Gpt
    """The architecture."""
    optimizer: OptimizerRecipe = field(metadata={"discriminator": "kind"})
    """How gradients become updates."""
    schedule: ScheduleRecipe = field(metadata={"discriminator": "kind"})
    """Batch size, sequence length and learning rate over the run."""
    averaging: AveragingRecipe = field(metadata={"discriminator": "kind"})
    """Which weights are exported: the last ones, or an average."""
    quantizer: QuantizerRecipe = field(metadata={"discriminator": "kind"})
    """How float weights become integers."""
    codec: CodecRecipe = field(metadata={"discriminator": "kind"})
    """How integers become bytes."""
    evaluation: EvaluationRecipe = field(metadata={"discriminator": "kind"})
    """Protocol of the score."""
    budget: Budget
    """Length of training."""
    compute: Compute = Compute()
    """Number types and fast paths."""

    def __post_init__(self) -> None:
        if self.schedule.clock != self.budget.clock:
            raise RecipeConflict(
                f"schedule.clock is {self.schedule.clock}, expected {self.budget.clock} as in budget.clock",
                "schedule",
                "clock",
            )
        if self.budget.reserve_seconds and self.budget.clock != "seconds":
            raise RecipeConflict("reserve_seconds needs budget.clock: seconds", "budget", "reserve_seconds")
        if self.budget.reserve_seconds and self.budget.reserve_seconds >= self.budget.train:
            raise RecipeConflict("reserve_seconds must be less than train", "budget", "reserve_seconds")
        check_every_pattern(self, self.model, self.evaluation, self.data.vocabulary_size)
        change = plan_change_progress(self.model)
        if change is not None and self.planned_steps and change > (self.planned_steps - 1) / self.planned_steps:
            raise RecipeConflict(
                f"no step of {self.planned_steps} comes after {change} of the budget: the recurrence would be scored "
                "but never trained; lower from_progress",
                *("model", "topology", "recurrence", "from_progress"),
            )

    @property
    def vocabulary_size(self) -> int:
        """Number of pieces in the tokenizer.

        Raises:
            ValueError: the data slot has not been resolved against its manifest.
        """
        if self.data.vocabulary_size is None:
            raise ValueError("recipe.data.vocabulary_size is null and has not been read from a manifest")
        return self.data.vocabulary_size

    @property
    def planned_steps(self) -> int | None:
        """Optimizer steps of the budget, or None if the clock is seconds."""
        match self.budget.clock:
            case "steps":
                return ceil(self.budget.train)
            case "tokens":
                return ceil(self.budget.train / self.schedule.batch_tokens)
            case "seconds":
                return None
