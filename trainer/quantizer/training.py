"""The loss of a training step, with or without rounded weights."""

from typing import Protocol

from torch import Tensor, nn

from trainer.model.gpt import GptModel
from trainer.model.segments import Segments
from trainer.recipe.inventory import Inventory
from trainer.recipe.quantizer import FloatTraining, QuantizerRecipe, StraightThrough


class TrainingLoss(Protocol):
    """A loss as a training step uses it."""

    @property
    def module(self) -> nn.Module:
        """The module that torch.compile compiles, if the recipe compiles."""
        ...

    def begin_step(self, multiplier: float) -> bool: ...
    def mean_loss(self, x_BT: Tensor, y_BT: Tensor, segments: Segments | None) -> Tensor: ...
    def probe(self, x_BT: Tensor, y_BT: Tensor, segments: Segments | None) -> str: ...


class LossModule(nn.Module):
    """A model called for its training loss."""

    def __init__(self, model: GptModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, x_BT: Tensor, y_BT: Tensor, segments: Segments | None) -> Tensor:
        return self.model.mean_loss(x_BT, y_BT, segments)


class FloatLoss:
    """The loss of the float weights."""

    def __init__(self, model: GptModel) -> None:
        self.module = LossModule(model)

    def begin_step(self, multiplier: float) -> bool:
        """Return False: there is nothing to probe."""
        return False

    def mean_loss(self, x_BT: Tensor, y_BT: Tensor, segments: Segments | None) -> Tensor:
        """Return the mean nats of all targets."""
        loss: Tensor = self.module(x_BT, y_BT, segments)
        return loss

    def probe(self, x_BT: Tensor, y_BT: Tensor, segments: Segments | None) -> str:
        return "weights are not rounded"


def make_training_loss(recipe: QuantizerRecipe, tensors: Inventory, model: GptModel) -> TrainingLoss:
    """Return the loss that a recipe trains with."""
    match recipe.training:
        case FloatTraining():
            return FloatLoss(model)
        case StraightThrough():
            from trainer.quantizer.straight_through import RoundedLoss

            return RoundedLoss(recipe, recipe.training, tensors, model, LossModule(model))
