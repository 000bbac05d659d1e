"""Products with weights, by a function that calibration can listen to."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function_variadic


def to_product_dtype(x_NC: Tensor) -> Tensor:
    """x in the type that products are made of here, so that several of them need not convert it one by one."""
    kind = x_NC.device.type
    return x_NC.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else x_NC


def linear(x_NC: Tensor, w_RC: Tensor, scale_R: Tensor | None = None) -> Tensor:
    """x w^T, each output channel scaled. Shapes: (..., C) -> (..., R).

    Scaling the rows of the matrix is the same as scaling what comes out, for far fewer numbers. A `TorchFunctionMode`
    sees every call with the parameter itself, which is how a quantizer learns what a matrix is fed.
    """
    if has_torch_function_variadic(x_NC, w_RC):
        result: Tensor = handle_torch_function(linear, (x_NC, w_RC), x_NC, w_RC, scale_R)
        return result
    return F.linear(x_NC, w_RC if scale_R is None else scale_R[:, None] * w_RC)
