"""Quantization with wider or narrower clips, for an artifact that must have a number of bytes."""

from dataclasses import dataclass, field, replace
from math import log2

from trainer.recipe.quantizer import DeviationClip, Gptq, Rtn, TrellisGptq

# An artifact is close enough from 2,000 bytes, or a hundredth, below the number that is wanted; aims are half as far.
SLACK_BYTES, SLACK_PART = 2_000, 100
MAX_ATTEMPTS = 10
# Clips more than 1.5 times as wide change the model too much; an artifact over its limit is then reported as it is.
MAX_WIDENING = 1.5
# Clips that are scaled to fill a number of bytes stay within this factor.
MAX_SCALING = 64.0


def scale_clips(recipe: Rtn | Gptq | TrellisGptq, times: float) -> Rtn | Gptq | TrellisGptq:
    """Return a quantizer with clips `times` as wide; its steps widen by the same factor, so its codes shrink."""
    assert isinstance(recipe.clip, DeviationClip)
    return replace(recipe, clip=replace(recipe.clip, k={name: k * times for name, k in recipe.clip.k.items()}))


def widening_for(over_bytes: int, weights: int) -> float:
    """Return the factor by which steps must widen to save some bytes: a factor of 2 saves one bit per weight."""
    return float(2.0 ** min(max(8 * over_bytes / weights, -8.0), 8.0))


@dataclass(slots=True)
class ClipSearch:
    """Search for the factor on clips at which an artifact has at most `wanted` bytes, and few less.

    The first guess takes it that twice the step saves one bit a weight; later ones lie on the line between the closest
    sizes on both sides.
    """

    wanted: int
    weights: int
    least: float
    most: float
    tried: dict[float, int] = field(default_factory=dict)
    """Bytes by factor."""

    @property
    def slack(self) -> int:
        """Bytes that may stay unused."""
        return min(SLACK_BYTES, self.wanted // SLACK_PART)

    @property
    def best(self) -> float:
        """The factor with the most bytes that fit, or with the fewest if none fits."""
        fitting = [times for times, size in self.tried.items() if size <= self.wanted]
        return max(fitting, key=self.tried.__getitem__) if fitting else min(self.tried, key=self.tried.__getitem__)

    @property
    def is_done(self) -> bool:
        """Return whether the best factor is close enough, or no further one is worth trying."""
        is_close = self.wanted - self.slack < self.tried[self.best] <= self.wanted
        return is_close or len(self.tried) >= MAX_ATTEMPTS or self.guess() in self.tried

    def guess(self) -> float:
        """Return the next factor to try."""
        aim = self.wanted - self.slack // 2
        over = [times for times, size in self.tried.items() if size > self.wanted]
        under = [times for times, size in self.tried.items() if size <= self.wanted]
        if over and under:
            low, high = max(over), min(under)
            share = (self.tried[low] - aim) / max(1, self.tried[low] - self.tried[high])
            exponent = log2(low) + min(max(share, 0.02), 0.98) * (log2(high) - log2(low))
            return float(2.0**exponent)
        nearest = max(over) if over else min(under)
        guess = nearest * widening_for(self.tried[nearest] - aim, self.weights)
        return min(self.most, max(self.least, guess))
