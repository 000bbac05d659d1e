"""Where the grid of a row ends."""

import torch
from torch import Tensor

from trainer.recipe.patterns import value_for
from trainer.recipe.quantizer import DeviationClip, PercentileClip


def clip_rows(clip: DeviationClip | PercentileClip, name: str, w_RC: Tensor) -> Tensor:
    """The largest absolute weight that each row's grid reaches. Shapes: (R, C) -> (R,)."""
    match clip:
        case DeviationClip():
            return value_for(clip.k, name) * w_RC.std(dim=1)
        case PercentileClip():
            return percentile_rows(w_RC.abs(), clip.percentile)


def percentile_rows(w_RC: Tensor, percentile: float) -> Tensor:
    """A percentile of each row, linear between order statistics. Shapes: (R, C) -> (R,)."""
    return torch.quantile(w_RC, min(percentile / 100.0, 1.0), dim=1)
