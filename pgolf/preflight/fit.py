"""Choice of quantizer clips that make an artifact fit, before training.

All clips are scaled by one factor. Doubling a step saves about one bit per weight in every tensor group, so clips that
were balanced between groups stay balanced.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pgolf.errors import UsageError
from pgolf.preflight.byte_estimate import ByteEstimate
from pgolf.preflight.correction import find_correction
from pgolf.preflight.preflight import Preflight
from pgolf.preflight.size import estimate_model_bytes
from trainer.recipe.quantizer import DeviationClip, Gptq, Rtn
from trainer.recipe.recipe import Recipe

# Rule of thumb for the value of a byte: 0.0015 bpb for 280 kB, from public runs (openai/parameter-golf #1914).
BPB_PER_BYTE = 0.0015 / 280_000
WIDEST = 8.0
# Clip, in standard deviations, below which clipped weights cost more than the finer grid gains.
LEAST_CLIP = 4.0
# Unused bytes are reported above this share of the limit.
FREE_SHARE = 0.01
# train_gpt.py contains the clips, so its size changes with their digits.
CODE_SLACK_BYTES = 256


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

    def overlay(self) -> str:
        """Return the clips as an overlay. A JSON mapping is also YAML."""
        return f"recipe: {{quantizer: {{clip: {{k: {json.dumps(self.clips)}}}}}}}\n"


@dataclass(frozen=True, slots=True)
class FittedArtifact:
    """An artifact whose clips were fitted to a limit for code and model together."""

    fitted: FittedClips
    old_clips: dict[str, float]
    code_bytes: int
    limit_bytes: int

    @property
    def free_bytes(self) -> int:
        """Bytes between the estimate and the limit, reserved for the estimate's uncertainty."""
        return self.limit_bytes - self.fitted.after.estimate - self.code_bytes

    @property
    def has_unused_bytes(self) -> bool:
        """Return whether bytes stay unused even by the upper bound of the estimate."""
        return self.fitted.after.high + self.code_bytes < self.limit_bytes * (1 - FREE_SHARE)

    def as_json(self) -> dict[str, Any]:
        """Return the answer of `pgolf fit --json`."""
        fitted = self.fitted
        document = {"k": fitted.clips, "times": fitted.times, "model_bytes": fitted.after.as_json()}
        limits = {"code_bytes": self.code_bytes, "limit_bytes": self.limit_bytes}
        return document | limits | {"expected_bpb": fitted.expected_bpb}


def fit_artifact(preflight: Preflight, limit_bytes: int | None, runs_dir: Path) -> FittedArtifact:
    """Fit the clips of a recipe to a limit for code and model together; None means the limit of the rules.

    Sizes are corrected by finished runs with the same weights.

    Raises:
        UsageError: the vocabulary size is not known, there is no limit, the code alone fills it, or no clips fit.
    """
    recipe, code = preflight.spec.recipe, preflight.code_bytes
    limit = preflight.ruleset.limits.bytes if limit_bytes is None else limit_bytes
    if limit is None:
        raise UsageError(f"{preflight.ruleset.label} sets no limit of bytes; give one with --bytes N")
    if preflight.model_bytes is None:
        raise UsageError("the vocabulary size is not known; give --set recipe.data.vocabulary_size=N")
    room = limit - code - CODE_SLACK_BYTES
    if room <= 0:
        raise UsageError(f"train_gpt.py alone takes {code:,} of {limit:,} bytes, which leaves no room for a model")
    correction = find_correction(recipe, runs_dir)

    def estimate(fitted: Recipe) -> ByteEstimate:
        expected = estimate_model_bytes(fitted)
        return expected if correction is None else correction.apply(expected)

    fitted = fit_clips(recipe, room, estimate)
    assert isinstance(recipe.quantizer.clip, DeviationClip), "fit_clips refuses other clips"
    return FittedArtifact(fitted, recipe.quantizer.clip.k, code, limit)


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
