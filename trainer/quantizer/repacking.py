"""The same weights on a wider grid, for an artifact that came out over the limit."""

from dataclasses import replace

from trainer.recipe.quantizer import DeviationClip, Gptq, Rtn

# By how much more than it is over the next attempt shrinks an artifact, and how many attempts there are.
OVERSHOOT, MARGIN_BYTES, MAX_ATTEMPTS = 1.1, 64, 6
# A grid so much wider is no longer the model that was trained; better to say that it does not fit.
MAX_WIDENING = 1.5


def widen_clips(recipe: Rtn | Gptq, times: float) -> Rtn | Gptq:
    """A quantizer whose clips lie so many times further out: its steps are as much wider, its codes shorter."""
    assert isinstance(recipe.clip, DeviationClip)
    return replace(recipe, clip=replace(recipe.clip, k={name: k * times for name, k in recipe.clip.k.items()}))


def widening_for(over_bytes: int, weights: int) -> float:
    """How many times wider steps must be for so many bytes less: twice as wide is one bit a weight less."""
    return float(2.0 ** min(8 * (OVERSHOOT * over_bytes + MARGIN_BYTES) / weights, 8.0))
