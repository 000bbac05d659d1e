"""How gradients become steps."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from trainer.recipe.local import LocalOptimizer
from trainer.recipe.patterns import check_pattern_names
from trainer.recipe.strict import CHECKED, Count, Flag, NonNegative, OpenFraction, Positive, Whole


@dataclass(frozen=True, kw_only=True, slots=True)
class Momentum:
    """Momentum that rises linearly from `start` to `end`."""

    __pydantic_config__: ClassVar = CHECKED
    start: OpenFraction = 0.85
    """Momentum of the first step."""
    end: OpenFraction = 0.95
    """Momentum after the warm-up."""
    warmup_steps: Whole = 500
    """Steps from `start` to `end`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MuonAdamW:
    """Muon for the matrices inside blocks and for projections into the stream, AdamW for tables and for vectors."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["muon_adamw"]
    matrix_lr: NonNegative = 0.04
    """Learning rate of Muon."""
    embedding_lr: NonNegative = 0.05
    """Learning rate of the embedding tables."""
    scalar_lr: NonNegative = 0.04
    """Learning rate of gains, scales, mixes, gates and skip weights."""
    lr: dict[str, NonNegative] = field(default_factory=dict)
    """Learning rates by tensor name pattern, where they are not those of the group."""
    weight_decay: NonNegative = 0.0
    """Decoupled decay of matrices and embeddings: w shrinks by lr * weight_decay each step."""
    embedding_weight_decay: NonNegative | None = None
    """Decay of embeddings; null: as of matrices."""
    scalar_weight_decay: NonNegative = 0.0
    """Decay of vectors, which moves scales towards zero."""
    decay_after_update: Flag = False
    """Whether Muon's decay also shrinks the update it has just made (#927, #1579)."""
    adamw: tuple[str, ...] = ()
    """Patterns of matrices that AdamW moves."""
    frozen: tuple[str, ...] = ()
    """Patterns of tensors that no step moves, as in scripts whose optimizers had forgotten them. The artifact pays for
    them all the same.
    """
    published_stale_gradients: Flag = False
    """Quirk of #1579 and #1817: gradients of frozen tensors are never cleared, add up over the run and count in
    `clip_norm`.
    """
    momentum: Momentum = field(default_factory=Momentum)
    """Muon's momentum."""
    row_normalized: Flag = False
    """Whether rows of Muon's updates are scaled to length 1 first (MuonEq-R)."""
    coefficients: Literal["quintic", "polar_express"] = "quintic"
    """Polynomials of the Newton-Schulz iterations: one and the same each time, or the five of Polar Express (arXiv
    2505.16932).
    """
    orthogonalization_steps: Count = 5
    """Newton-Schulz iterations."""
    beta1: OpenFraction = 0.9
    """AdamW's decay of the mean gradient."""
    beta2: OpenFraction = 0.95
    """AdamW's decay of the mean squared gradient."""
    epsilon: Positive = 1e-8
    """AdamW's denominator floor."""
    clip_norm: NonNegative = 0.0
    """Largest global gradient norm, over the tensors that are optimized; 0 does not clip."""

    def __post_init__(self) -> None:
        check_pattern_names(self.lr, "lr")
        check_pattern_names(self.adamw, "adamw")
        check_pattern_names(self.frozen, "frozen")


OptimizerRecipe = MuonAdamW | LocalOptimizer
