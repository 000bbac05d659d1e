"""Rotary position embedding (RoPE) of one execution, resolved from the recipe."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class ExecutionRope:
    """How one execution rotates its heads."""

    dims: int
    """Rotated dimensions of each head."""
    period_dims: int
    """Dimensions over which frequencies fall from 1 to 1 / base; equals `dims` except for a published quirk."""
    base: float
    divisor: float = 1.0
    """Divisor of every frequency."""
    trained_tokens: int | None = None
    """Sequence length, in tokens, above which the base is increased."""
