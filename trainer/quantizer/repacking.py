"""Requantization with wider clips, for an artifact that exceeds its byte limit."""

from dataclasses import replace

from trainer.recipe.quantizer import DeviationClip, Gptq, Rtn

# Each attempt aims at 1.1 times the excess plus 64 bytes; at most 6 attempts.
OVERSHOOT, MARGIN_BYTES, MAX_ATTEMPTS = 1.1, 64, 6
# Clips more than 1.5 times as wide change the model too much; the artifact is then reported as over the limit.
MAX_WIDENING = 1.5


def widen_clips(recipe: Rtn | Gptq, times: float) -> Rtn | Gptq:
    """Return a quantizer with clips `times` as wide; its steps widen by the same factor, so its codes shrink."""
    assert isinstance(recipe.clip, DeviationClip)
    return replace(recipe, clip=replace(recipe.clip, k={name: k * times for name, k in recipe.clip.k.items()}))


def widening_for(over_bytes: int, weights: int) -> float:
    """Return the factor by which steps must widen to save the excess: a factor of 2 saves one bit per weight."""
    return float(2.0 ** min(8 * (OVERSHOOT * over_bytes + MARGIN_BYTES) / weights, 8.0))
