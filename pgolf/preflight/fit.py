"""Clips that make an artifact fit, chosen before training.

All clips are moved by one factor: where codes take about as many bits as their entropy, one step twice as wide is one
bit a weight less everywhere, so that the ratios between groups that were right before are right after.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from pgolf.errors import UsageError
from pgolf.preflight.byte_estimate import ByteEstimate
from pgolf.preflight.size import estimate_model_bytes
from trainer.recipe.quantizer import DeviationClip, Gptq, Rtn
from trainer.recipe.recipe import Recipe

# What a byte is worth at the margin: 0.0015 bpb for 280 kB, from public runs (openai/parameter-golf #1914).
BPB_PER_BYTE = 0.0015 / 280_000
WIDEST = 8.0
# Deviations below which a clip cuts off weights that matter: there, narrower is no finer.
LEAST_CLIP = 4.0


@dataclass(frozen=True, slots=True)
class FittedClips:
    """Clips that fit, and what they change."""

    clips: dict[str, float]
    times: float
    """By how much every clip was multiplied."""
    before: ByteEstimate
    after: ByteEstimate

    @property
    def expected_bpb(self) -> float:
        """What the change costs, or gains where it is negative. A rule of thumb."""
        return (self.before.estimate - self.after.estimate) * BPB_PER_BYTE


def fit_clips(
    recipe: Recipe, model_bytes: int, estimate: Callable[[Recipe], ByteEstimate] = estimate_model_bytes
) -> FittedClips:
    """The narrowest clips whose artifact has at most so many bytes by the upper end of its estimate.

    Raises: UsageError when the quantizer has no such clips, or none of them fits.
    """
    quantizer = recipe.quantizer
    if not isinstance(quantizer, Rtn | Gptq) or not isinstance(quantizer.clip, DeviationClip):
        raise UsageError(
            "recipe.quantizer.clip is not a number of deviations; only `clip: {kind: deviations, k: {...}}` can be "
            "fitted before training"
        )
    recipe = replace(recipe, quantizer=replace(quantizer, fit_bytes=0))  # what fits is not pruned to fit
    before = estimate(recipe)
    low, high = min(1.0, LEAST_CLIP / min(quantizer.clip.k.values())), WIDEST
    if estimate(scaled(recipe, low)).high <= model_bytes:
        high = low
    if estimate(scaled(recipe, high)).high > model_bytes:
        raise UsageError(
            f"even clips {WIDEST:.0f} times as wide do not fit into {model_bytes:,} bytes; take fewer weights"
        )
    while high / low > 1 + 1e-5:
        middle = (low * high) ** 0.5
        if estimate(scaled(recipe, middle)).high > model_bytes:
            low = middle
        else:
            high = middle
    fitted = scaled(recipe, high)
    assert isinstance(fitted.quantizer.clip, DeviationClip)
    return FittedClips(fitted.quantizer.clip.k, high, before, estimate(fitted))


def scaled(recipe: Recipe, times: float) -> Recipe:
    """The recipe with every clip so many times as far out, to four digits."""
    quantizer = recipe.quantizer
    assert isinstance(quantizer.clip, DeviationClip)
    clips = {name: round(k * times, 4) for name, k in quantizer.clip.k.items()}
    return replace(recipe, quantizer=replace(quantizer, clip=replace(quantizer.clip, k=clips)))
