"""Rotary position embedding (RoPE) of one execution, resolved from the recipe."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class ExecutionRope:
    """How one execution rotates its heads."""

    dims: int
    """Rotated dimensions of each head."""
    period_dims: int
    """Over how many dimensions the frequencies fall from 1 to 1 / base; `dims`, but for a published quirk."""
    base: float
    divisor: float = 1.0
    """What every frequency is divided by."""
    trained_tokens: int | None = None
    """Sequence length beyond which the base is stretched."""
