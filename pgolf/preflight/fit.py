"""Choice of quantizer clips that make an artifact fit, before training.

All clips are scaled by one factor. Doubling a step saves about one bit per weight in every tensor group, so clips that
were balanced between groups stay balanced.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from pgolf.errors import UsageError
from pgolf.preflight.byte_estimate import ByteEstimate
from pgolf.preflight.size import estimate_model_bytes
from trainer.recipe.quantizer import DeviationClip, Gptq, Rtn
from trainer.recipe.recipe import Recipe

# Rule of thumb for the value of a byte: 0.0015 bpb for 280 kB, from public runs (openai/parameter-golf #1914).
BPB_PER_BYTE = 0.0015 / 280_000
WIDEST = 8.0
# Clip, in standard deviations, below which clipped weights cost more than the finer grid gains.
LEAST_CLIP = 4.0


@dataclass(frozen=True, slots=True)
class FittedClips:
    """Clips that fit, with the sizes before and after."""

    clips: dict[str, float]
    times: float
    """Factor on every clip."""
    before: ByteEstimate
    after: ByteEstimate

    @property
    def expected_bpb(self) -> float:
        """Expected change of the score by a rule of thumb; negative is better."""
        return (self.before.estimate - self.after.estimate) * BPB_PER_BYTE


def fit_clips(
    recipe: Recipe, model_bytes: int, estimate: Callable[[Recipe], ByteEstimate] = estimate_model_bytes
) -> FittedClips:
    """Return the narrowest clips for which the upper bound of the estimate is at most `model_bytes`.

    Raises:
        UsageError: the quantizer does not clip by standard deviations, or no clip fits.
    """
    quantizer = recipe.quantizer
    if not isinstance(quantizer, Rtn | Gptq) or not isinstance(quantizer.clip, DeviationClip):
        raise UsageError(
            "recipe.quantizer.clip is not a number of standard deviations; only `clip: {kind: deviations, k: {...}}` "
            "can be fitted before training"
        )
    recipe = replace(recipe, quantizer=replace(quantizer, fit_bytes=0))  # estimate without pruning
    before = estimate(recipe)
    low, high = min(1.0, LEAST_CLIP / min(quantizer.clip.k.values())), WIDEST
    if estimate(scale_clips(recipe, low)).high <= model_bytes:
        high = low
    if estimate(scale_clips(recipe, high)).high > model_bytes:
        raise UsageError(
            f"even clips {WIDEST:.0f} times as wide do not fit into {model_bytes:,} bytes; use fewer parameters"
        )
    while high / low > 1 + 1e-5:
        middle = (low * high) ** 0.5
        if estimate(scale_clips(recipe, middle)).high > model_bytes:
            low = middle
        else:
            high = middle
    fitted = scale_clips(recipe, high)
    assert isinstance(fitted.quantizer.clip, DeviationClip)
    return FittedClips(fitted.quantizer.clip.k, high, before, estimate(fitted))


def scale_clips(recipe: Recipe, times: float) -> Recipe:
    """Return the recipe with every clip multiplied by `times`, rounded to four digits."""
    quantizer = recipe.quantizer
    assert isinstance(quantizer.clip, DeviationClip)
    clips = {name: round(k * times, 4) for name, k in quantizer.clip.k.items()}
    return replace(recipe, quantizer=replace(quantizer, clip=replace(quantizer.clip, k=clips)))
