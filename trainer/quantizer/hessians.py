"""Hessians of matrices: the second moments of their inputs."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from trainer.model.gpt import GptModel
from trainer.model.linear import linear


class InputListener(TorchFunctionMode):
    """A context that sums x x^T over all inputs x of each given matrix."""

    def __init__(self, matrices: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.names = {id(matrix): name for name, matrix in matrices.items()}
        self.sums: dict[str, Tensor] = {}
        # Query, key and value read the same tensor one after another: its product is computed once.
        self.input_NC, self.product_CC = torch.empty(0), torch.empty(0)

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if function is linear and (name := self.names.get(id(args[1]))):
            if name not in self.sums:
                self.sums[name] = args[0].new_zeros((args[1].size(1),) * 2, dtype=torch.float32)
            self.sums[name].add_(self.product(args[0]))
        return function(*args, **(kwargs or {}))

    def product(self, input_NC: Tensor) -> Tensor:
        """Return x x^T summed over an input. Shapes: (..., C) -> (C, C), float32."""
        if input_NC is not self.input_NC:
            x_NC = input_NC.detach().flatten(0, -2).float()
            with torch.autocast(x_NC.device.type, enabled=False):  # sums of bfloat16 products are not positive definite
                self.input_NC, self.product_CC = input_NC, x_NC.mT @ x_NC
        return self.product_CC


@torch.no_grad()
def collect_hessians(
    model: GptModel, names: Iterable[str], sequences: Iterable[Tensor], check: Callable[[], None]
) -> dict[str, Tensor]:
    """Return the sum of x x^T over the inputs of each matrix. `check` is called before each sequence.

    Shapes: sequences of (1, T); each result (C, C), float32.
    """
    parameters = dict(model.named_parameters())
    listener = InputListener({name: parameters[name] for name in names})
    with listener:
        for tokens_1T in sequences:
            check()
            model(tokens_1T)
    return listener.sums
