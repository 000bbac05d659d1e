"""How tokens enter and leave."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from trainer.recipe.strict import CHECKED, Count, NonNegative, Positive, RecipeConflict, Whole

BigramHash = Literal["multiply", "xor", "prime_sum"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Bigram:
    """A hashed table of token pairs, projected to the stream's width and added to the token's own embedding."""

    __pydantic_config__: ClassVar = CHECKED
    buckets: Count
    """Rows of the table; pairs that share one share an embedding."""
    width: Count
    """Columns of the table."""
    hash: BigramHash = "multiply"
    """multiply: (92821 before + token) mod buckets (#927, #1579). xor: (36313 token XOR 27191 before) mod (buckets
    - 1), the last bucket for the first position (#549, #576, #1535). prime_sum: (1009 before + token) mod buckets
    (#861).
    """
    scale: Positive | None = None
    """Initial value of a learned factor; null has none."""
    deviation: NonNegative = 0.01
    """Standard deviation of the initial table."""
    orthogonal_projection: NonNegative = 0.0
    """Gain of an orthogonal initial projection; 0 begins with a projection of zeros."""

    def __post_init__(self) -> None:
        if self.hash == "xor" and self.buckets < 2:
            raise RecipeConflict("hash xor keeps one bucket for the first position and needs another", "buckets")
        if not self.deviation and not self.orthogonal_projection:
            raise RecipeConflict("a zero table behind a zero projection gets no gradient and never moves", "deviation")


@dataclass(frozen=True, kw_only=True, slots=True)
class ValueEmbedding:
    """A second table of tokens, projected and added to the values of the last executions (VE)."""

    __pydantic_config__: ClassVar = CHECKED
    width: Count
    """Columns of the table."""
    last_executions: Whole
    """How many executions, from the end, add it; each has a learned factor."""
    scale: Positive | None = None
    """Initial value of a learned factor for all of them; null has none."""
    deviation: Positive = 0.01
    """Standard deviation of the initial table."""
    orthogonal_projection: NonNegative = 0.0
    """Gain of an orthogonal initial projection; 0 begins with a projection of zeros."""
    published_unused: Whole = 0
    """Quirk of #1535: so many further factors, in an artifact whose executions never add the table."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NoSmear:
    """Embeddings of neighbours do not mix."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["none"] = "none"


@dataclass(frozen=True, kw_only=True, slots=True)
class ChannelSmear:
    """x_t = (1 - g) x_t + g x_(t-1) after the norm, with a learned sigmoid a channel that begins at one half
    (SmearGate).
    """

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["channel"]


@dataclass(frozen=True, kw_only=True, slots=True)
class GatedSmear:
    """e_t = e_t + s sigmoid(w e_t[:inputs]) e_(t-1) before the norm, except where a document begins (#1855)."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["gated"]
    inputs: Count = 12
    """Channels that the gate reads."""
    document_token: Whole = 1
    """The token that begins a document; nothing is smeared into it."""


SmearRecipe = NoSmear | ChannelSmear | GatedSmear


@dataclass(frozen=True, kw_only=True, slots=True)
class TiedEmbedding:
    """One table embeds the tokens and produces the logits."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["tied"]
    deviation: Positive = 0.005
    """Standard deviation of the initial table."""
    bigram: Bigram | None = None
    """An embedding of token pairs."""
    value: ValueEmbedding | None = None
    """An embedding that enters the values of late executions."""
    smear: SmearRecipe = field(default=NoSmear(), metadata={"discriminator": "kind"})
    """How much of the token before enters each token."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UntiedEmbedding:
    """One table embeds the tokens, another one, zero at first, produces the logits."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["untied"]
    deviation: Positive = 0.005
    """Standard deviation of the initial table."""
    bigram: Bigram | None = None
    """An embedding of token pairs."""
    value: ValueEmbedding | None = None
    """An embedding that enters the values of late executions."""
    smear: SmearRecipe = field(default=NoSmear(), metadata={"discriminator": "kind"})
    """How much of the token before enters each token."""


EmbeddingRecipe = TiedEmbedding | UntiedEmbedding
