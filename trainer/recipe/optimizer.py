"""Optimizers: how gradients become updates."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from trainer.recipe.local import LocalOptimizer
from trainer.recipe.patterns import check_pattern_names
from trainer.recipe.strict import CHECKED, Count, Flag, NonNegative, OpenFraction, Positive, RecipeConflict, Whole


@dataclass(frozen=True, kw_only=True, slots=True)
class Momentum:
    """Momentum that rises linearly from `start` to `end` over the warm-up."""

    __pydantic_config__: ClassVar = CHECKED
    start: OpenFraction = 0.85
    """Momentum of the first step."""
    end: OpenFraction = 0.95
    """Momentum after the warm-up."""
    warmup_steps: Whole = 500
    """Steps of the warm-up; 0 uses `end` from the first step on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Taper:
    """A factor that stays 1 until `start`, and then goes linearly to `end` at the end of the budget."""

    __pydantic_config__: ClassVar = CHECKED
    start: OpenFraction
    """Share of the budget at which the factor begins to change."""
    end: NonNegative
    """The factor at the end of the budget."""

    def factor(self, progress: float) -> float:
        """Return the factor at `progress` (0 at the start of the budget, 1 at its end)."""
        return 1.0 + (self.end - 1.0) * min(1.0, max(0.0, progress - self.start) / (1.0 - self.start))


@dataclass(frozen=True, kw_only=True, slots=True)
class MuonAdamW:
    """Muon for the matrices of blocks and for projections into the stream, AdamW for embedding tables and vectors."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["muon_adamw"]
    matrix_lr: NonNegative = 0.04
    """Learning rate of matrices."""
    embedding_lr: NonNegative = 0.05
    """Learning rate of the embedding tables."""
    scalar_lr: NonNegative = 0.04
    """Learning rate of gains, scales, mixes, gates and skip weights."""
    lr: dict[str, NonNegative] = field(default_factory=dict)
    """Learning rates by tensor name pattern; they override those of the groups."""
    weight_decay: NonNegative = 0.0
    """Decoupled weight decay of matrices and embeddings: each step multiplies weights by 1 - lr * weight_decay."""
    weight_decay_taper: Taper | None = None
    """How the weight decay of the matrices that Muon updates changes towards the end (#1729); null keeps it."""
    embedding_weight_decay: NonNegative | None = None
    """Weight decay of embeddings; null uses `weight_decay`."""
    scalar_weight_decay: NonNegative = 0.0
    """Weight decay of vectors; it pulls scales and gains towards zero."""
    decay_after_update: Flag = False
    """Whether weight decay of matrices follows the update and so shrinks the update too (#927, #1579)."""
    adamw: tuple[str, ...] = ()
    """Name patterns of matrices that AdamW updates instead of Muon."""
    frozen: tuple[str, ...] = ()
    """Name patterns of tensors that are never updated, as in scripts whose optimizers omit them. They still take bytes
    of the artifact.
    """
    published_stale_gradients: Flag = False
    """Published quirk (#1579, #1817): gradients of frozen tensors are never cleared; they accumulate over the run and
    count in `clip_norm`.
    """
    momentum: Momentum = field(default_factory=Momentum)
    """Momentum of Muon."""
    row_normalized: Flag = False
    """Whether rows of the momentum are scaled to length 1 before orthogonalization (MuonEq-R)."""
    coefficients: Literal["quintic", "polar_express"] = "quintic"
    """Polynomials of the Newton-Schulz iterations: the same one each time (`quintic`), or the five of Polar Express
    (`polar_express`, arXiv 2505.16932).
    """
    orthogonalization_steps: Count = 5
    """Number of Newton-Schulz iterations."""
    beta1: OpenFraction = 0.9
    """AdamW: decay rate of the mean gradient."""
    beta2: OpenFraction = 0.95
    """AdamW: decay rate of the mean squared gradient."""
    epsilon: Positive = 1e-8
    """AdamW: added to the denominator."""
    clip_norm: NonNegative = 0.0
    """Maximum gradient norm over all optimized tensors; 0 does not clip."""
    clip_each_pass: Flag = False
    """Whether gradients are clipped after each forward pass of `schedule.micro_batch_tokens`, before they are averaged.
    Public scripts do so on eight GPUs, whose processes clip what each of them has computed.
    """

    def __post_init__(self) -> None:
        if self.clip_each_pass and not self.clip_norm:
            raise RecipeConflict("clip_each_pass needs clip_norm above 0", "clip_norm")
        if self.clip_each_pass and self.published_stale_gradients:
            raise RecipeConflict(
                "clip_each_pass cannot be combined with published_stale_gradients, whose gradients outlive a step",
                "clip_each_pass",
            )
        check_pattern_names(self.lr, "lr")
        check_pattern_names(self.adamw, "adamw")
        check_pattern_names(self.frozen, "frozen")


OptimizerRecipe = MuonAdamW | LocalOptimizer
