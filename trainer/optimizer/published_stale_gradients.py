"""Gradients that are never cleared, as in published scripts whose optimizers leave out parameters."""

from typing import Any

from torch import Tensor

from trainer.optimizer.muon_adamw import MuonAdamWOptimizer


class StaleGradientsOptimizer(MuonAdamWOptimizer):
    """MuonAdamW that keeps the gradients of frozen parameters: they accumulate, and the clipped norm includes them.

    Source: #1579, #1817.
    """

    def clipped(self) -> dict[str, Tensor]:
        return dict(self.parameters)

    def forget_gradients(self) -> None:
        """Set the gradients of moving parameters to None; frozen ones keep theirs."""
        for parameter in self.moving().values():
            parameter.grad = None

    def state(self) -> dict[str, Any]:
        stale = {name: self.parameters[name].grad for name in self.frozen if self.parameters[name].grad is not None}
        return {**super().state(), "stale": stale}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        for name, gradient in state["stale"].items():
            self.parameters[name].grad = gradient.to(self.parameters[name].device)
