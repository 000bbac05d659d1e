"""Gradients that are clipped pass by pass, before they are averaged."""

from collections.abc import Iterable

import torch
from torch import Tensor


def backpropagate_clipped(loss: Tensor, parameters: Iterable[Tensor], norm: float) -> None:
    """Clip the gradients of a loss to a common norm, and add them to the gradients that the parameters have.

    Source: openai/parameter-golf #1493 and later, whose processes clip before the mean over processes is taken.
    """
    parameters = list(parameters)
    earlier = [parameter.grad for parameter in parameters]
    for parameter in parameters:
        parameter.grad = None
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(parameters, norm)
    for parameter, gradient in zip(parameters, earlier, strict=True):
        if gradient is not None:
            parameter.grad = gradient if parameter.grad is None else gradient.add_(parameter.grad)
