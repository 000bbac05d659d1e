"""No averaging."""

from typing import Any

from torch import Tensor


class LastWeights:
    """The weights after the last step; keeps no state."""

    def __init__(self, parameters: dict[str, Tensor]) -> None:
        self.source = parameters

    def update(self, step: int, multiplier: float) -> None:
        pass

    def candidates(self) -> dict[str, dict[str, Tensor]]:
        """Return the weights by tensor name."""
        return {"last": {name: parameter.detach() for name, parameter in self.source.items()}}

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        pass
