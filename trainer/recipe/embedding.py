"""Embeddings: how tokens enter the model and how logits leave it."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from trainer.recipe.strict import CHECKED, Count, NonNegative, Positive, RecipeConflict, Whole

BigramHash = Literal["multiply", "xor", "prime_sum"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Bigram:
    """A hashed table of token pairs, projected to the model width and added to the token embedding."""

    __pydantic_config__: ClassVar = CHECKED
    buckets: Count
    """Rows of the table; pairs in the same bucket share an embedding."""
    width: Count
    """Columns of the table."""
    hash: BigramHash = "multiply"
    """Bucket of a pair. `multiply`: (92821 * previous + token) mod buckets (#927, #1579). `xor`: (36313 * token XOR
    27191 * previous) mod (buckets - 1), and the last bucket for the first position (#549, #576, #1535). `prime_sum`:
    (1009 * previous + token) mod buckets (#861).
    """
    scale: Positive | None = None
    """Initial value of a learned factor of the pair embedding; null has no factor."""
    deviation: NonNegative = 0.01
    """Standard deviation of the initial table."""
    orthogonal_projection: NonNegative = 0.0
    """Gain of an orthogonal initial projection; 0 begins with a projection of zeros."""

    def __post_init__(self) -> None:
        if self.hash == "xor" and self.buckets < 2:
            raise RecipeConflict(
                "hash: xor needs at least 2 buckets, found 1: it reserves one for the first position", "buckets"
            )
        if not self.deviation and not self.orthogonal_projection:
            raise RecipeConflict(
                "deviation and orthogonal_projection are both 0: the table would never get a gradient; raise one",
                "deviation",
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class ValueEmbedding:
    """A second token table, projected and added to the attention values of the last executions (VE)."""

    __pydantic_config__: ClassVar = CHECKED
    width: Count
    """Columns of the table."""
    last_executions: Whole
    """Number of executions, counted from the end, that add it; each has a learned factor."""
    scale: Positive | None = None
    """Initial value of one learned factor common to all of them; null has no such factor."""
    deviation: Positive = 0.01
    """Standard deviation of the initial table."""
    orthogonal_projection: NonNegative = 0.0
    """Gain of an orthogonal initial projection; 0 begins with a projection of zeros."""
    published_unused: Whole = 0
    """Published quirk (#1535): number of further factors that are stored in the artifact and never used."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NoSmear:
    """No mixing of neighbouring embeddings."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["none"] = "none"


@dataclass(frozen=True, kw_only=True, slots=True)
class ChannelSmear:
    """Mix in the previous token after the norm: x_t = (1 - g) x_t + g x_(t-1) (SmearGate).

    g is a learned sigmoid per channel that starts at 1/2.
    """

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["channel"]


@dataclass(frozen=True, kw_only=True, slots=True)
class GatedSmear:
    """Add the previous token before the norm: e_t = e_t + s sigmoid(w e_t[:inputs]) e_(t-1) (#1855).

    Nothing is added where a document begins, unless `document_token` is null.
    """

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["gated"]
    inputs: Count = 12
    """Channels of the embedding that the gate reads."""
    document_token: Whole | None = 1
    """Id of the token that begins a document, to which nothing is added; null adds the last token of the document
    before, as #1667 and #2135 do.
    """


SmearRecipe = NoSmear | ChannelSmear | GatedSmear


@dataclass(frozen=True, kw_only=True, slots=True)
class TiedEmbedding:
    """One table for input embeddings and output logits."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["tied"]
    deviation: Positive = 0.005
    """Standard deviation of the initial table."""
    bigram: Bigram | None = None
    """Embedding of token pairs; null has none."""
    value: ValueEmbedding | None = None
    """Embedding added to the attention values of late executions; null has none."""
    smear: SmearRecipe = field(default=NoSmear(), metadata={"discriminator": "kind"})
    """Mixing of each embedding with that of the previous token."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UntiedEmbedding:
    """A table for input embeddings, and another one, initially zero, for output logits."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["untied"]
    deviation: Positive = 0.005
    """Standard deviation of the initial table."""
    bigram: Bigram | None = None
    """Embedding of token pairs; null has none."""
    value: ValueEmbedding | None = None
    """Embedding added to the attention values of late executions; null has none."""
    smear: SmearRecipe = field(default=NoSmear(), metadata={"discriminator": "kind"})
    """Mixing of each embedding with that of the previous token."""


EmbeddingRecipe = TiedEmbedding | UntiedEmbedding
