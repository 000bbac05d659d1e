"""How gradients become steps."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from trainer.recipe.strict import CHECKED, Count, NonNegative, OpenFraction, Positive, Whole


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
    """Muon for the matrices inside blocks, AdamW for embeddings and for vectors."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["muon_adamw"]
    matrix_lr: NonNegative = 0.04
    """Learning rate of Muon."""
    embedding_lr: NonNegative = 0.05
    """Learning rate of the embedding tables."""
    scalar_lr: NonNegative = 0.04
    """Learning rate of gains, scales, mixes and skip weights."""
    weight_decay: NonNegative = 0.0
    """Decoupled decay of matrices and embeddings: w shrinks by lr * weight_decay each step. Vectors do not decay."""
    momentum: Momentum = field(default_factory=Momentum)
    """Muon's momentum."""
    orthogonalization_steps: Count = 5
    """Newton-Schulz iterations."""
    beta1: OpenFraction = 0.9
    """AdamW's decay of the mean gradient."""
    beta2: OpenFraction = 0.95
    """AdamW's decay of the mean squared gradient."""
    epsilon: Positive = 1e-8
    """AdamW's denominator floor."""
    clip_norm: NonNegative = 0.0
    """Largest global gradient norm; 0 does not clip."""


OptimizerRecipe = MuonAdamW
