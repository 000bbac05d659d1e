"""Quantization with wider or narrower clips, for an artifact that must have a number of bytes."""

from collections.abc import Callable
from dataclasses import replace

from trainer.recipe.quantizer import DeviationClip, Gptq, Rtn

# An artifact is close enough from 2,000 bytes, or a hundredth, below the number that is wanted; aims are half as far.
SLACK_BYTES, SLACK_PART = 2_000, 100
MAX_ATTEMPTS = 10
# Clips more than 1.5 times as wide change the model too much; an artifact over its limit is then reported as it is.
MAX_WIDENING = 1.5
# Clips that are scaled to fill a number of bytes stay within this factor.
MAX_SCALING = 64.0


def scale_clips(recipe: Rtn | Gptq, times: float) -> Rtn | Gptq:
    """Return a quantizer with clips `times` as wide; its steps widen by the same factor, so its codes shrink."""
    assert isinstance(recipe.clip, DeviationClip)
    return replace(recipe, clip=replace(recipe.clip, k={name: k * times for name, k in recipe.clip.k.items()}))


def widening_for(over_bytes: int, weights: int) -> float:
    """Return the factor by which steps must widen to save some bytes: a factor of 2 saves one bit per weight."""
    return float(2.0 ** min(max(8 * over_bytes / weights, -8.0), 8.0))


def slack_of(wanted: int) -> int:
    """Return how many bytes may stay unused."""
    return min(SLACK_BYTES, wanted // SLACK_PART)


def is_filled(size: int, wanted: int) -> bool:
    """Return whether an artifact has the bytes that are wanted, or few less."""
    return wanted - slack_of(wanted) < size <= wanted


def search_times(
    size_at: Callable[[float], int], size: int, wanted: int, weights: int, least: float, most: float
) -> dict[float, int]:
    """Return the bytes of an artifact by the factor on its clips: of all factors that were tried, the best one last.

    The best factor has the most bytes up to `wanted`, or the fewest if none has so few. `size` is that of the factor 1.
    The first guesses take it that twice the step saves one bit a weight; later ones lie between the closest sizes on
    both sides.
    """
    aim, sizes, times = wanted - slack_of(wanted) // 2, {1.0: size}, 1.0
    while not is_filled(sizes[times], wanted) and len(sizes) < MAX_ATTEMPTS:
        over, under = [t for t in sizes if sizes[t] > wanted], [t for t in sizes if sizes[t] <= wanted]
        if over and under:
            low, high = max(over), min(under)
            share = (sizes[low] - aim) / (sizes[low] - sizes[high])
            times = low * (high / low) ** min(max(share, 0.1), 0.9)
        else:
            times = min(most, max(least, times * widening_for(sizes[times] - aim, weights)))
        if times in sizes:
            break
        sizes[times] = size_at(times)
    best = min(sizes, key=lambda t: (sizes[t] > wanted, abs(sizes[t] - wanted)))
    return sizes | {best: sizes.pop(best)}
