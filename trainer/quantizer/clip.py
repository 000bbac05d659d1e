"""Clipping: the largest absolute weight that the grid of a row reaches."""

import torch
from torch import Tensor

from trainer.recipe.patterns import value_for
from trainer.recipe.quantizer import ClipRecipe, DeviationClip, PercentileClip, SearchedClip

SEARCHED_PERCENTILES = (99.9, 99.95, 99.99, 99.999, 100.0)


def row_clips(clip: ClipRecipe, name: str, w_RC: Tensor, levels: int) -> Tensor:
    """Return the clip of each row. Shapes: (R, C) -> (R,)."""
    match clip:
        case DeviationClip():
            return value_for(clip.k, name) * w_RC.std(dim=1)
        case PercentileClip():
            return row_percentiles(w_RC.abs(), clip.percentile)
        case SearchedClip():
            if name.startswith("embedding."):
                return row_percentiles(w_RC.abs(), clip.tables)
            return search_row_clips(w_RC, levels)


def row_percentiles(w_RC: Tensor, percentile: float) -> Tensor:
    """Return a percentile of each row, interpolated linearly. Shapes: (R, C) -> (R,)."""
    if percentile >= 100.0:
        return w_RC.amax(dim=1)
    return torch.quantile(w_RC, percentile / 100.0, dim=1)


def search_row_clips(w_RC: Tensor, levels: int) -> Tensor:
    """Return the candidate percentile of each row with the least squared rounding error. Shapes: (R, C) -> (R,)."""
    clips_PR = torch.stack([row_percentiles(w_RC.abs(), percentile) for percentile in SEARCHED_PERCENTILES])
    errors_PR = torch.stack([rounding_error(w_RC, clip_R / levels, levels) for clip_R in clips_PR])
    return clips_PR.gather(0, errors_PR.argmin(dim=0, keepdim=True)).squeeze(0)


def rounding_error(w_RC: Tensor, steps_R: Tensor, levels: int) -> Tensor:
    """Return the squared error of rounding each row to nearest. Shapes: (R, C), (R,) -> (R,)."""
    steps_R1 = steps_R.clamp_min(torch.finfo(w_RC.dtype).tiny)[:, None]
    rounded_RC = (w_RC / steps_R1).round().clamp(-levels, levels) * steps_R1
    return (w_RC - rounded_RC).square().sum(dim=1)
