"""Attention: how tokens read earlier tokens."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from trainer.recipe.strict import CHECKED, Count, Flag, Positive, RecipeConflict


@dataclass(frozen=True, kw_only=True, slots=True)
class Rope:
    """Rotary position embedding (RoPE) of the first `dims` dimensions of each head."""

    __pydantic_config__: ClassVar = CHECKED
    dims: Count | None = None
    """Rotated dimensions per head, an even number; null rotates all of them."""
    base: Positive = 10_000.0
    """Base of the rotary frequencies, which fall from 1 to about 1 / base radians per token."""
    trained_tokens: Count | None = None
    """Sequence length, in tokens, up to which `base` applies unchanged. A longer sequence of T tokens multiplies it by
    (T / trained_tokens) ^ (dims / (dims - 2)) (NTK-aware scaling); null never changes it.
    """
    loop_divisors: tuple[Positive, ...] = ()
    """Divisors of the frequencies in looped blocks, one per loop; `trained_tokens` then does not apply to these blocks.
    Empty leaves the frequencies unchanged.
    """
    published_truncated: Flag = False
    """Published quirk (#1579, #927): only the first floor(E / 2) // 2 pairs of a head of width E are rotated, with the
    frequencies of a fully rotated head. Excludes `dims`, `trained_tokens` and `loop_divisors`.
    """

    def __post_init__(self) -> None:
        if self.published_truncated and (self.dims is not None or self.trained_tokens or self.loop_divisors):
            raise RecipeConflict(
                "published_truncated cannot be combined with dims, trained_tokens or loop_divisors; remove them",
                "published_truncated",
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class SparseGate:
    """Multiply the output of each head by gain * sigmoid(scale * w n) (#1667, #1787).

    n is the first `inputs` channels of the normalized input of the block; w starts at 0.
    """

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["sparse"]
    inputs: Count = 12
    """Channels of the normalized input that the gate reads."""
    scale: Positive = 0.5
    """Factor of w n inside the sigmoid."""
    gain: Positive = 1.0
    """Factor of the sigmoid; with 2, heads begin as without a gate (#1667)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DenseGate:
    """Multiply the output of each head by sigmoid(w n), where n is the normalized input of the block (#1736)."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["dense"]
    deviation: Positive = 0.005
    """Standard deviation of the initial gate weights."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NoGate:
    """No gate: head outputs are unchanged."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["none"] = "none"


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupedQuery:
    """Causal grouped-query attention (GQA) with QK norm: each key/value head serves heads / kv_heads query heads."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["grouped_query"]
    heads: Count
    """Number of query heads; divides the model width."""
    kv_heads: Count
    """Number of key/value heads; divides `heads`. Equal to `heads`, this is plain multi-head attention."""
    q_gain: Positive = 1.5
    """Initial value of the learned gain of each query head, applied after QK norm."""
    rope: Rope = field(default_factory=Rope)
    """Rotary position embedding."""
    exclusive: tuple[str, ...] = ()
    """Patterns of the blocks with exclusive self-attention (XSA): the output of each head loses its component along the
    token's own value vector. ["*"] selects all blocks, `shared.0/1` the second execution of block shared.0.
    """
    value_residual: Flag = False
    """Whether each execution after the first adds the values of the first one, times a learned sigmoid (#569)."""
    gate: SparseGate | DenseGate | NoGate = field(default=NoGate(), metadata={"discriminator": "kind"})
    """Gate on the output of each head."""

    def __post_init__(self) -> None:
        if self.heads % self.kv_heads:
            raise RecipeConflict(f"kv_heads {self.kv_heads} does not divide heads {self.heads}", "kv_heads")
