"""The model's shape: width, topology, attention, MLP, embedding."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from trainer.recipe.strict import CHECKED, Count, Flag, NonNegative, Positive, RecipeConflict, Strict


@dataclass(frozen=True, kw_only=True, slots=True)
class Rope:
    """Rotary position embedding (RoPE) on the first `dims` of each head."""

    __pydantic_config__: ClassVar = CHECKED
    dims: Count | None = None
    """Rotated dimensions of a head, an even number; null rotates them all."""
    base: Positive = 10_000.0
    """Longest wavelength over 2 pi, in tokens."""


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
    rope: Rope = Rope()
    """Rotary position embedding."""

    def __post_init__(self) -> None:
        if self.heads % self.kv_heads:
            raise RecipeConflict(f"kv_heads {self.kv_heads} does not divide heads {self.heads}", "kv_heads")


@dataclass(frozen=True, kw_only=True, slots=True)
class ReluSquared:
    """MLP with the activation relu(x)^2 (Primer, arXiv 2109.08668)."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["relu_squared"]
    ratio: Positive
    """Hidden units per unit of width."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FlatTopology:
    """Blocks one after the other, each executed once."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["flat"]
    layers: Annotated[int, Strict(ge=1, le=1024)]
    """Number of blocks."""
    skips: Literal["none", "unet"] = "none"
    """unet: the first floor(layers / 2) outputs enter the next as many blocks, last first, times learned vectors."""
    input_mix: Flag = False
    """Each block reads a learned mix of the stream and of the first embedding (community: resid_mix, x0)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TiedEmbedding:
    """One table embeds the tokens and produces the logits."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["tied"]
    deviation: Positive = 0.005
    """Standard deviation of the initial table."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gpt:
    """A decoder-only transformer whose forward pass walks the execution plan of its topology."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["gpt"]
    width: Count
    """Width of the residual stream."""
    topology: FlatTopology
    """Which blocks there are and in which order they run."""
    attention: GroupedQuery
    """How tokens look at one another."""
    mlp: ReluSquared
    """What happens to each token alone."""
    embedding: TiedEmbedding
    """How tokens enter and leave."""
    softcap: NonNegative = 30.0
    """Logits become softcap * tanh(logits / softcap); 0 leaves them alone."""

    def __post_init__(self) -> None:
        heads, dims = self.attention.heads, self.attention.rope.dims
        if self.width % heads:
            raise RecipeConflict(f"heads {heads} does not divide width {self.width}", "attention", "heads")
        if self.hidden_width < 2:
            raise RecipeConflict(f"ratio {self.mlp.ratio} of width {self.width} leaves no hidden layer", "mlp", "ratio")
        if self.head_width % 2:
            raise RecipeConflict(f"width / heads = {self.head_width} is odd; RoPE rotates pairs", "attention", "heads")
        if dims is not None and (dims % 2 or dims > self.head_width):
            raise RecipeConflict(
                f"rope dims {dims} is not an even number up to the head width {self.head_width}",
                *("attention", "rope", "dims"),
            )

    @property
    def head_width(self) -> int:
        return self.width // self.attention.heads

    @property
    def kv_width(self) -> int:
        return self.head_width * self.attention.kv_heads

    @property
    def hidden_width(self) -> int:
        return round(self.mlp.ratio * self.width)

    @property
    def rope_dims(self) -> int:
        return self.attention.rope.dims or self.head_width
