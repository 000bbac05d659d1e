"""Muon for matrices, AdamW for embeddings and vectors."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from trainer.optimizer.coverage import check_groups
from trainer.optimizer.muon import Muon
from trainer.recipe.inventory import MATRIX_GROUPS, Inventory, TensorSpec
from trainer.recipe.optimizer import MuonAdamW
from trainer.recipe.patterns import matches_any, value_for
from trainer.runtime.world import SINGLE_PROCESS, World


class MuonAdamWOptimizer:
    """Muon and AdamW over all parameters, divided by inventory group and by the name patterns of the recipe."""

    def __init__(
        self,
        recipe: MuonAdamW,
        tensors: Inventory,
        parameters: Mapping[str, Tensor],
        world: World = SINGLE_PROCESS,
        dtype: torch.dtype | None = None,
    ) -> None:
        self.recipe = recipe
        self.parameters = parameters
        self.rates = {tensor.name: learning_rate(recipe, tensor) for tensor in tensors}
        self.frozen = [t.name for t in tensors if matches_any(recipe.frozen, t.name)]
        moving = [tensor for tensor in tensors if tensor.name not in self.frozen]
        matrices = [t.name for t in moving if is_orthogonalized(recipe, t)]
        others = [tensor for tensor in moving if not is_orthogonalized(recipe, tensor)]
        check_groups(parameters, (self.frozen, matrices, [tensor.name for tensor in others]))
        self.muon = Muon({name: parameters[name] for name in matrices}, self.rates, recipe, world, dtype)
        self.adamw_groups = sorted({self.adamw_group(tensor) for tensor in others})
        self.adamw = torch.optim.AdamW(
            [self.parameter_group(group, others) for group in self.adamw_groups],
            betas=(recipe.beta1, recipe.beta2),
            eps=recipe.epsilon,
            fused=True,
        )

    def adamw_group(self, tensor: TensorSpec) -> tuple[float, float]:
        """Return learning rate and weight decay of a tensor that AdamW updates."""
        recipe = self.recipe
        if tensor.group == "control":
            decay = recipe.scalar_weight_decay
        elif tensor.group == "embedding" and recipe.embedding_weight_decay is not None:
            decay = recipe.embedding_weight_decay
        else:
            decay = recipe.weight_decay
        return self.rates[tensor.name], decay

    def parameter_group(self, group: tuple[float, float], tensors: Iterable[TensorSpec]) -> dict[str, Any]:
        """Return the tensors of one AdamW group as a parameter group of torch."""
        members = [self.parameters[tensor.name] for tensor in tensors if self.adamw_group(tensor) == group]
        return {"params": members, "weight_decay": group[1]}

    def moving(self) -> dict[str, Tensor]:
        """Return the parameters that are not frozen."""
        return {name: parameter for name, parameter in self.parameters.items() if name not in self.frozen}

    def clipped(self) -> dict[str, Tensor]:
        """Return the parameters whose common gradient norm is clipped."""
        return self.moving()

    def step(self, step: int, multiplier: float) -> None:
        """Update all parameters. Gradients are overwritten; `multiplier` scales every learning rate."""
        if self.recipe.clip_norm and not self.recipe.clip_each_pass:
            torch.nn.utils.clip_grad_norm_(self.clipped().values(), self.recipe.clip_norm)
        updates = self.muon.begin(step)
        for group, (lr, _) in zip(self.adamw.param_groups, self.adamw_groups, strict=True):
            group["lr"] = lr * multiplier
        self.adamw.step()  # runs while the updates of other processes arrive
        self.muon.finish(updates, multiplier)

    def forget_gradients(self) -> None:
        """Set every gradient to None."""
        for parameter in self.parameters.values():
            parameter.grad = None

    def state(self) -> dict[str, Any]:
        return {"muon": self.muon.state(), "adamw": self.adamw.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        self.muon.restore(state["muon"])
        self.adamw.load_state_dict(state["adamw"])


def is_orthogonalized(recipe: MuonAdamW, tensor: TensorSpec) -> bool:
    """Return whether Muon updates a tensor."""
    return tensor.group in MATRIX_GROUPS and not matches_any(recipe.adamw, tensor.name)


def learning_rate(recipe: MuonAdamW, tensor: TensorSpec) -> float:
    """Return the learning rate of a tensor: that of its name pattern, else that of its group."""
    group_rates = {"embedding": recipe.embedding_lr, "control": recipe.scalar_lr}
    return value_for({**recipe.lr, "default": group_rates.get(tensor.group, recipe.matrix_lr)}, tensor.name)
