"""The optimizer slot: how gradients become updates."""

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor

from trainer.recipe.inventory import Inventory
from trainer.recipe.local import LocalOptimizer
from trainer.recipe.optimizer import MuonAdamW
from trainer.recipe.recipe import Recipe
from trainer.runtime.device import product_dtype
from trainer.runtime.world import World


class Optimizer(Protocol):
    """An optimizer as training uses it."""

    def moving(self) -> Mapping[str, Tensor]: ...
    def step(self, step: int, multiplier: float) -> None: ...
    def forget_gradients(self) -> None: ...
    def state(self) -> dict[str, Any]: ...
    def restore(self, state: dict[str, Any]) -> None: ...


def taper_weight_decay(optimizer: Optimizer, factor: float) -> None:
    """Let Muon decay its matrices by a share of the recipe's weight decay, from the next step on."""
    from trainer.optimizer.muon_adamw import MuonAdamWOptimizer

    assert isinstance(optimizer, MuonAdamWOptimizer), "only Muon has a taper"
    optimizer.muon.weight_decay = factor * optimizer.recipe.weight_decay


def make_optimizer(recipe: Recipe, tensors: Inventory, parameters: Mapping[str, Tensor], world: World) -> Optimizer:
    """Return the optimizer that a recipe names, for one rank of a world."""
    dtype = product_dtype(recipe.compute.precision, world.device)
    sharing = world if recipe.compute.orthogonalization == "shared_out" else World(world.device)
    match recipe.optimizer:
        case MuonAdamW():
            if recipe.optimizer.published_stale_gradients:
                from trainer.optimizer.published_stale_gradients import StaleGradientsOptimizer

                return StaleGradientsOptimizer(recipe.optimizer, tensors, parameters, sharing, dtype)
            from trainer.optimizer.muon_adamw import MuonAdamWOptimizer

            return MuonAdamWOptimizer(recipe.optimizer, tensors, parameters, sharing, dtype)
        case LocalOptimizer():
            from trainer.runtime.local_code import make_local

            own = recipe.optimizer
            made: Optimizer = make_local(own.file, own.class_name, tensors, parameters, **own.options)
            return made
