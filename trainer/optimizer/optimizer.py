"""The optimizer slot."""

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor

from trainer.recipe.inventory import Inventory
from trainer.recipe.local import LocalOptimizer
from trainer.recipe.optimizer import MuonAdamW, OptimizerRecipe


class Optimizer(Protocol):
    """What training asks of an optimizer."""

    def moving(self) -> Mapping[str, Tensor]: ...
    def step(self, step: int, multiplier: float) -> None: ...
    def forget_gradients(self) -> None: ...
    def state(self) -> dict[str, Any]: ...
    def restore(self, state: dict[str, Any]) -> None: ...


def make_optimizer_of(recipe: OptimizerRecipe, tensors: Inventory, parameters: Mapping[str, Tensor]) -> Optimizer:
    """The optimizer that a recipe names."""
    match recipe:
        case MuonAdamW():
            if recipe.published_stale_gradients:
                from trainer.optimizer.published_stale_gradients import StaleGradientsOptimizer

                return StaleGradientsOptimizer(recipe, tensors, parameters)
            from trainer.optimizer.muon_adamw import MuonAdamWOptimizer

            return MuonAdamWOptimizer(recipe, tensors, parameters)
        case LocalOptimizer():
            from trainer.runtime.local_code import make_local

            made: Optimizer = make_local(recipe.file, recipe.class_name, tensors, parameters, **recipe.options)
            return made
