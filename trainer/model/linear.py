"""Matrix products, through one function that calibration can intercept."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function_variadic


def to_product_dtype(x_NC: Tensor) -> Tensor:
    """Return x in the autocast dtype, so that several products of it do not each convert it."""
    kind = x_NC.device.type
    return x_NC.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else x_NC


def linear(x_NC: Tensor, w_RC: Tensor, scale_R: Tensor | None = None) -> Tensor:
    """Return x w^T with each output channel scaled. Shapes: (..., C) -> (..., R).

    The rows of the matrix are scaled instead of the output: far fewer numbers. A `TorchFunctionMode` sees every call
    with the parameter itself, which is how calibration collects the inputs of each matrix.
    """
    if has_torch_function_variadic(x_NC, w_RC):
        result: Tensor = handle_torch_function(linear, (x_NC, w_RC), x_NC, w_RC, scale_R)
        return result
    return F.linear(x_NC, w_RC if scale_R is None else scale_R[:, None] * w_RC)
