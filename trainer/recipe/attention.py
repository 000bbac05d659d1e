"""How tokens look at one another."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from trainer.recipe.strict import CHECKED, Count, Flag, Positive, RecipeConflict


@dataclass(frozen=True, kw_only=True, slots=True)
class Rope:
    """Rotary position embedding (RoPE) on the first `dims` of each head."""

    __pydantic_config__: ClassVar = CHECKED
    dims: Count | None = None
    """Rotated dimensions of a head, an even number; null rotates them all."""
    base: Positive = 10_000.0
    """Longest wavelength over 2 pi, in tokens."""
    trained_tokens: Count | None = None
    """Sequence length of the base. A longer sequence of T tokens stretches it, by (T / trained_tokens) ^ (dims /
    (dims - 2)) (NTK-aware scaling); null never does.
    """
    loop_divisors: tuple[Positive, ...] = ()
    """What a looped block divides its frequencies by in each loop; it stretches no base then. Empty divides none."""
    published_truncated: Flag = False
    """Quirk of #1579 and #927: the table is cut to the first half of its frequencies, floor(E / 2) // 2 pairs of a head
    of width E, each with the frequency that it would have if the whole head were rotated.
    """

    def __post_init__(self) -> None:
        if self.published_truncated and (self.dims is not None or self.trained_tokens or self.loop_divisors):
            raise RecipeConflict("published_truncated is a table of its own; name nothing else", "published_truncated")


@dataclass(frozen=True, kw_only=True, slots=True)
class SparseGate:
    """Each head's output times sigmoid(scale * w n), n being the first `inputs` channels of the block's normed input
    (#1787).
    """

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["sparse"]
    inputs: Count = 12
    """Channels that the gate reads."""
    scale: Positive = 0.5
    """Factor before the sigmoid."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DenseGate:
    """Each head's output times sigmoid(w n), n being the block's whole normed input (#1736)."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["dense"]
    deviation: Positive = 0.005
    """Standard deviation of the initial weights."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NoGate:
    """Heads leave attention as they are."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["none"] = "none"


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupedQuery:
    """Causal attention with QK norm; each key/value head serves heads / kv_heads query heads (GQA)."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["grouped_query"]
    heads: Count
    """Query heads."""
    kv_heads: Count
    """Key/value heads; equal to `heads` for plain multi-head attention."""
    q_gain: Positive = 1.5
    """Initial value of the learned gain of each query head, after QK norm."""
    rope: Rope = field(default_factory=Rope)
    """Rotary position embedding."""
    exclusive: tuple[str, ...] = ()
    """Patterns of the blocks whose heads lose what points along their own token's value (exclusive self-attention,
    XSA); ["*"] is all of them, `shared.0/1` the second visit to a block.
    """
    value_residual: Flag = False
    """Whether each later execution adds the first one's values, times a learned sigmoid (#569)."""
    gate: SparseGate | DenseGate | NoGate = field(default=NoGate(), metadata={"discriminator": "kind"})
    """What is done to each head's output."""

    def __post_init__(self) -> None:
        if self.heads % self.kv_heads:
            raise RecipeConflict(f"kv_heads {self.kv_heads} does not divide heads {self.heads}", "kv_heads")
