"""Recipe: what is trained and scored, and nothing about where or for whom."""

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
    """Nine slots, each filled by one tagged component, and how to compute them. Only this part of a spec reaches the
    artifact.
    """

    __pydantic_config__: ClassVar = CHECKED
    data: DataRecipe = field(metadata={"discriminator": "kind"})
    """Training and validation tokens, and the vocabulary."""
    model: Gpt
    """The architecture."""
    optimizer: OptimizerRecipe = field(metadata={"discriminator": "kind"})
    """How gradients become steps."""
    schedule: ScheduleRecipe
    """Batch, sequence length and learning rate over the run."""
    averaging: AveragingRecipe = field(metadata={"discriminator": "kind"})
    """Which average of the weights is exported."""
    quantizer: QuantizerRecipe = field(metadata={"discriminator": "kind"})
    """Float weights to integers."""
    codec: CodecRecipe = field(metadata={"discriminator": "kind"})
    """Integers to bytes."""
    evaluation: EvaluationRecipe = field(metadata={"discriminator": "kind"})
    """The protocol of the score."""
    budget: Budget
    """How long it may train."""
    compute: Compute = Compute()
    """How fast it computes, and in which precision."""

    def __post_init__(self) -> None:
        if self.schedule.clock != self.budget.clock:
            raise RecipeConflict(
                f"schedule.clock is {self.schedule.clock} but budget.clock is {self.budget.clock}", "schedule", "clock"
            )
        if self.budget.reserve_seconds and self.budget.clock != "seconds":
            raise RecipeConflict("reserve_seconds needs clock: seconds", "budget", "reserve_seconds")
        if self.budget.reserve_seconds and self.budget.reserve_seconds >= self.budget.train:
            raise RecipeConflict("reserve_seconds leaves no time to train", "budget", "reserve_seconds")
        check_every_pattern(self, self.model, self.evaluation, self.data.vocabulary_size)
        change = plan_change_progress(self.model)
        if change is not None and self.planned_steps and change > (self.planned_steps - 1) / self.planned_steps:
            raise RecipeConflict(
                f"no step of {self.planned_steps} comes after {change} of the budget; the model would be scored with "
                "executions that were never trained",
                *("model", "topology", "recurrence", "from_progress"),
            )

    @property
    def vocabulary_size(self) -> int:
        """Pieces of the tokenizer.

        Raises: ValueError if the data slot has not been resolved against its manifest.
        """
        if self.data.vocabulary_size is None:
            raise ValueError("recipe.data.vocabulary_size is not known before the data is")
        return self.data.vocabulary_size

    @property
    def planned_steps(self) -> int | None:
        """Optimizer steps of the budget, or None when the clock is seconds."""
        match self.budget.clock:
            case "steps":
                return ceil(self.budget.train)
            case "tokens":
                return ceil(self.budget.train / self.schedule.batch_tokens)
            case "seconds":
                return None
