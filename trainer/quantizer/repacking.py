"""The same weights on a wider grid, for an artifact that came out over the limit."""

from dataclasses import replace

from trainer.recipe.quantizer import DeviationClip, Gptq, Rtn

# How far below the limit the next attempt aims, and how many there are.
MARGIN_BYTES, MOST_ATTEMPTS = 2_000, 6


def coarser(recipe: Rtn | Gptq, times: float) -> Rtn | Gptq:
    """A quantizer whose clips lie so many times further out: its steps are as much wider, its codes shorter."""
    assert isinstance(recipe.clip, DeviationClip)
    return replace(recipe, clip=replace(recipe.clip, k={name: k * times for name, k in recipe.clip.k.items()}))


def times_for(over_bytes: int, weights: int) -> float:
    """How many times wider steps must be for so many bytes less: twice as wide is one bit a weight less."""
    return float(2.0 ** (8 * (over_bytes + MARGIN_BYTES) / weights))
