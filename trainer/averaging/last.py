"""No averaging."""

from typing import Any

from torch import Tensor


class LastWeights:
    """The candidate is what the last step left."""

    def __init__(self, parameters: dict[str, Tensor]) -> None:
        self.source = parameters

    def update(self, step: int, multiplier: float) -> None:
        """Nothing to do."""

    def candidates(self) -> dict[str, dict[str, Tensor]]:
        """The weights by name."""
        return {"last": {name: parameter.detach() for name, parameter in self.source.items()}}

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Nothing to do."""
