"""RMS norm without a learned weight."""

import torch.nn.functional as F
from torch import Tensor


def rms_norm(x_ND: Tensor) -> Tensor:
    """Return each row divided by its root mean square, in x's dtype. Shapes: any, over the last axis."""
    return F.rms_norm(x_ND, (x_ND.size(-1),))
