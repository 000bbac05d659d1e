"""No averaging."""

import torch
from torch import Tensor


class LastWeights:
    """The candidate is what the last step left."""

    def __init__(self, parameters: dict[str, Tensor]) -> None:
        self.source = parameters

    def update(self, step: int) -> None:
        """Nothing to do."""

    def candidate(self) -> dict[str, Tensor]:
        """The weights by name."""
        return {name: parameter.detach() for name, parameter in self.source.items()}

    def state(self) -> dict[str, torch.Tensor]:
        return {}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Nothing to do."""
