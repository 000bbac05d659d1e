"""Checks that every parameter is trained.

Public runs shipped loop instructions, value embeddings and blend factors that no optimizer updated: wasted bytes, and
improvements that were noise. So every tensor must be in exactly one group, have a gradient, and move within the first
steps.
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from trainer.runtime.failure import TrainingFailed

# Behind a zero-initialised projection the first gradient is zero; by the fourth step every trained tensor has moved.
STEPS_TO_MOVE = 4
BYTES_PER_VALUE = 2


def check_groups(parameters: Mapping[str, Tensor], groups: Iterable[Iterable[str]]) -> None:
    """Check that the groups partition the parameters.

    Raises:
        TrainingFailed: a tensor is in no group, or in two.
    """
    seen: set[str] = set()
    for group in groups:
        for name in group:
            if name in seen:
                raise TrainingFailed(f"{name} is in two optimizer groups")
            seen.add(name)
    if missing := sorted(parameters.keys() - seen):
        raise TrainingFailed(f"{describe_tensor(missing[0], parameters[missing[0]])} is in no optimizer group")


class MovementCheck:
    """A check of gradients and movement of parameters over the first steps."""

    def __init__(self, parameters: Mapping[str, Tensor]) -> None:
        self.parameters = parameters
        self.initial = {name: parameter.detach().clone() for name, parameter in parameters.items()}
        self.has_gradient = dict.fromkeys(parameters, False)

    def before_update(self) -> None:
        """Check that every tensor has a gradient. Called between the backward pass and the optimizer step.

        Raises:
            TrainingFailed: a tensor has no gradient.
        """
        for name, parameter in self.parameters.items():
            if parameter.grad is None:
                raise TrainingFailed(f"{describe_tensor(name, parameter)} receives no gradient")
            self.has_gradient[name] |= bool(parameter.grad.any())

    def check(self) -> None:
        """Check that every tensor has moved, and not by weight decay alone.

        Raises:
            TrainingFailed: a tensor has not moved, or had only zero gradients.
        """
        for name, parameter in self.parameters.items():
            if not self.has_gradient[name]:
                raise TrainingFailed(f"{describe_tensor(name, parameter)} has had only zero gradients")
            if torch.equal(parameter, self.initial[name]):
                raise TrainingFailed(f"{describe_tensor(name, parameter)} has not moved in {STEPS_TO_MOVE} steps")


def describe_tensor(name: str, tensor: Tensor) -> str:
    return f"{name} {tuple(tensor.shape)}, up to {BYTES_PER_VALUE * tensor.numel():,} bytes of the artifact,"
