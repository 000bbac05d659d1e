"""Gradients that nobody clears, as in published scripts whose optimizers leave parameters out."""

from typing import Any

from torch import Tensor

from trainer.optimizer.muon_adamw import MuonAdamWOptimizer


class StaleGradientsOptimizer(MuonAdamWOptimizer):
    """Leaves the gradients of frozen parameters where they are: they add up, and the clipped norm counts them.

    Source: #1579, #1817.
    """

    def clipped(self) -> dict[str, Tensor]:
        return dict(self.parameters)

    def forget_gradients(self) -> None:
        """Nothing; moving parameters have no gradient, frozen ones keep theirs."""
        for parameter in self.moving().values():
            parameter.grad = None

    def state(self) -> dict[str, Any]:
        stale = {name: self.parameters[name].grad for name in self.frozen if self.parameters[name].grad is not None}
        return {**super().state(), "stale": stale}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        for name, gradient in state["stale"].items():
            self.parameters[name].grad = gradient.to(self.parameters[name].device)
