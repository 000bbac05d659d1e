"""Muon for matrices, AdamW for embeddings and vectors."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from trainer.optimizer.coverage import check_groups
from trainer.optimizer.muon import Muon
from trainer.recipe.inventory import TensorSpec
from trainer.recipe.optimizer import MuonAdamW


class MuonAdamWOptimizer:
    """One step of all parameters, each sorted by its group in the inventory."""

    def __init__(self, recipe: MuonAdamW, tensors: tuple[TensorSpec, ...], parameters: Mapping[str, Tensor]) -> None:
        self.recipe = recipe
        self.parameters = parameters
        matrices = {t.name: parameters[t.name] for t in tensors if t.group in ("attention", "mlp")}
        embeddings = {t.name: parameters[t.name] for t in tensors if t.group == "embedding"}
        scalars = {t.name: parameters[t.name] for t in tensors if t.group == "control"}
        check_groups(parameters, (matrices, embeddings, scalars))
        self.muon = Muon(matrices, recipe.momentum, recipe.orthogonalization_steps, recipe.weight_decay)
        self.learning_rates = (recipe.embedding_lr, recipe.scalar_lr)
        self.adamw = torch.optim.AdamW(
            [
                {"params": list(embeddings.values()), "weight_decay": recipe.weight_decay},
                {"params": list(scalars.values()), "weight_decay": 0.0},
            ],
            betas=(recipe.beta1, recipe.beta2),
            eps=recipe.epsilon,
            fused=True,
        )

    def step(self, step: int, multiplier: float) -> None:
        """Nothing; parameters have moved and gradients are gone. `multiplier` scales every learning rate."""
        if self.recipe.clip_norm:
            torch.nn.utils.clip_grad_norm_(self.parameters.values(), self.recipe.clip_norm)
        self.muon.step(step, self.recipe.matrix_lr * multiplier)
        for group, lr in zip(self.adamw.param_groups, self.learning_rates, strict=True):
            group["lr"] = lr * multiplier
        self.adamw.step()

    def forget_gradients(self) -> None:
        """Nothing; every gradient is None."""
        for parameter in self.parameters.values():
            parameter.grad = None

    def state(self) -> dict[str, Any]:
        return {"muon": self.muon.state(), "adamw": self.adamw.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        self.muon.restore(state["muon"])
        self.adamw.load_state_dict(state["adamw"])
