"""Evaluation protocols of the decoded artifact; each scores every target exactly once."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from trainer.recipe.patterns import check_pattern_names
from trainer.recipe.quantizer import QuantizerRecipe
from trainer.recipe.strict import CHECKED, Count, Flag, NonNegative, OpenFraction, Positive, RecipeConflict


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """Another quantizer applied to the same weights."""

    __pydantic_config__: ClassVar = CHECKED
    quantizer: QuantizerRecipe = field(metadata={"discriminator": "kind"})
    """Quantizer of the reference."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoringProtocol:
    """Fields of every protocol."""

    __pydantic_config__: ClassVar = CHECKED
    window: Count = field(metadata={"description": "Tokens per window."})
    temperature: Positive = field(
        default=1.0,
        metadata={"description": "Divisor of the logits; fixed in the spec and never fitted while scoring."},
    )
    tail: Literal["score", "drop"] = field(
        default="score",
        metadata={
            "description": "`score` scores every target. `drop` leaves out the targets after the last full window, as "
            "published scripts did; such a score covers less text and cannot be the headline of a submission."
        },
    )
    references: dict[str, Reference] = field(
        default_factory=dict,
        metadata={
            "description": "Further quantizers by name, scored for comparison with the exported one; no headline."
        },
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunked(ScoringProtocol):
    """Disjoint windows; the first target of a window has one token of context."""

    kind: Literal["chunked"]

    def __post_init__(self) -> None:
        check_references(self.references)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sliding(ScoringProtocol):
    """Overlapping windows, each of which scores its last `stride` targets.

    So most targets have at least window - stride tokens of context.
    """

    kind: Literal["sliding"]
    stride: Count
    """New targets per window; at most `window`."""

    def __post_init__(self) -> None:
        check_references(self.references)
        check_stride(self.stride, self.window)


@dataclass(frozen=True, kw_only=True, slots=True)
class Documents(ScoringProtocol):
    """Overlapping windows that restart at each document, so that no target sees another document than its own."""

    kind: Literal["document"]
    stride: Count
    """New targets per window; at most `window`."""

    def __post_init__(self) -> None:
        check_references(self.references)
        check_stride(self.stride, self.window)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sgd:
    """Stochastic gradient descent."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["sgd"]
    lr: NonNegative
    """Learning rate of the first chunk."""
    momentum: OpenFraction = 0.9
    """Momentum; kept from one chunk to the next."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AdamW:
    """AdamW."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["adamw"]
    lr: NonNegative
    """Learning rate of the first chunk."""
    beta1: OpenFraction = 0.9
    """Decay rate of the mean gradient."""
    beta2: OpenFraction = 0.999
    """Decay rate of the mean squared gradient."""
    epsilon: Positive = 1e-8
    """Added to the denominator."""
    weight_decay: NonNegative = 0.0
    """Decoupled weight decay."""


AdaptationOptimizer = Sgd | AdamW


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreFirstTtt(ScoringProtocol):
    """Sliding windows over a model that trains on scored text, chunk by chunk (score-first test-time training, TTT).

    The artifact is also scored with plain sliding windows, which is reported separately.
    """

    kind: Literal["score_first_ttt"]
    stride: Count
    """New targets per window; at most `window`."""
    chunk_tokens: Count = 32_768
    """Targets that are scored before the model trains on them; at least `window`."""
    optimizer: AdaptationOptimizer = field(metadata={"discriminator": "kind"})
    """Optimizer of the adaptation; its learning rate falls along a cosine over the chunks."""
    epochs: Count = 3
    """Passes over each chunk."""
    batch_sequences: Count = 32
    """Sequences per step, each of `window` tokens."""
    clip_norm: NonNegative = 1.0
    """Maximum gradient norm; 0 does not clip."""
    learn: tuple[str, ...] = ("*",)
    """Name patterns of the tensors that train."""
    freeze: tuple[str, ...] = ()
    """Name patterns of tensors that do not train even though `learn` matches them."""

    def __post_init__(self) -> None:
        check_references(self.references)
        check_stride(self.stride, self.window)
        check_pattern_names(self.learn, "learn")
        check_pattern_names(self.freeze, "freeze")
        if self.chunk_tokens < self.window:
            raise RecipeConflict(
                f"chunk_tokens {self.chunk_tokens} is shorter than window {self.window}", "chunk_tokens"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class ChunkUntil:
    """The length of chunks up to a place in a document."""

    __pydantic_config__: ClassVar = CHECKED
    until: Count | None
    """Scored targets of the document from which on it no longer holds; null for the last length."""
    tokens: Count
    """Targets of a chunk."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Phases:
    """Training of the whole model on the documents that are scored (#1626)."""

    __pydantic_config__: ClassVar = CHECKED
    after_documents: tuple[Count, ...]
    """Scored documents after which all weights train on those documents, in increasing order."""
    chunk_tokens: Count = 32_768
    """Tokens of a step; the last ones, at most as many, are left out."""
    lr: NonNegative = 1e-3
    """Learning rate of SGD; falls along a cosine over the chunks of a phase."""
    momentum: OpenFraction = 0.9
    """Momentum of SGD."""
    clip_norm: NonNegative = 1.0
    """Maximum gradient norm; 0 does not clip."""

    def __post_init__(self) -> None:
        if list(self.after_documents) != sorted({*self.after_documents}) or not self.after_documents:
            raise RecipeConflict("after_documents must have increasing numbers", "after_documents")


@dataclass(frozen=True, kw_only=True, slots=True)
class DocumentLora(ScoringProtocol):
    """Each document by itself, in chunks: low-rank adapters of the matrices train on each scored chunk (#1530).

    The adapters are reset for the next document, but for what `keep_first` keeps. The artifact is also scored with
    plain document windows, which is reported separately. Processes share the batches of documents; the scores do not
    depend on their number.
    """

    kind: Literal["document_lora"]
    chunk_tokens: Count | tuple[ChunkUntil, ...] = 48
    """Targets that are scored before the adapters train on them, at most `window`: always the same number, or a list of
    `{until, tokens}` that follows the targets of the document scored so far.
    """
    batch_documents: Count = 1
    """Documents that are scored side by side, in one forward pass. Without `keep_first` and `phases` the scores of
    other numbers differ by rounding only.
    """
    order: Literal["stream", "published_by_length"] = "stream"
    """Order of the documents: that of the text, or the longest first as in the records, which no decoder can follow
    because it does not know the lengths.
    """
    pairs: Literal["matrix", "visit"] = "matrix"
    """`matrix`: each matrix has a pair of factors. `visit`: each execution of a block has pairs of its own, for
    queries, keys and values, and beside all of attention and all of the MLP, as in the records.
    """
    keep_first: Flag = False
    """Whether a document begins with the first factors that the document before it in its place of the batch has
    learned (#1787); the second ones begin at zero.
    """
    phases: Phases | None = None
    """Training of the whole model between documents; null has none."""
    rank: Count = 80
    """Rank of the adapters."""
    alpha: Positive = 144.0
    """Scale of the adapters: their output is multiplied by alpha / rank."""
    learn: tuple[str, ...] = ("*",)
    """Name patterns of the matrices that have adapters."""
    lr: NonNegative = 1e-4
    """Learning rate of AdamW."""
    beta1: OpenFraction = 0.0
    """Decay rate of the mean gradient."""
    beta2: OpenFraction = 0.99
    """Decay rate of the mean squared gradient."""
    epsilon: Positive = 1e-10
    """Added to the denominator."""
    weight_decay: NonNegative = 0.5
    """Decoupled weight decay."""

    def __post_init__(self) -> None:
        check_references(self.references)
        check_pattern_names(self.learn, "learn")
        ends = [chunk.until for chunk in self.chunks]
        increasing = sorted({end for end in ends if end is not None})
        if ends != [*increasing, None]:
            raise RecipeConflict(
                "chunk_tokens must have increasing `until`, and null in its last entry", "chunk_tokens"
            )
        if (most := max(chunk.tokens for chunk in self.chunks)) > self.window:
            raise RecipeConflict(f"chunk_tokens {most} is longer than window {self.window}", "chunk_tokens")
        if self.phases is not None and self.phases.chunk_tokens < self.window:
            raise RecipeConflict(
                f"chunk_tokens {self.phases.chunk_tokens} is shorter than window {self.window}",
                "phases",
                "chunk_tokens",
            )

    @property
    def chunks(self) -> tuple[ChunkUntil, ...]:
        """The lengths of chunks."""
        chunks = self.chunk_tokens
        return (ChunkUntil(until=None, tokens=chunks),) if isinstance(chunks, int) else chunks

    def chunk_at(self, scored: int) -> int:
        """Return the length of the chunk after so many scored targets of a document."""
        return next(chunk.tokens for chunk in self.chunks if chunk.until is None or scored < chunk.until)


EvaluationRecipe = Chunked | Sliding | Documents | ScoreFirstTtt | DocumentLora


def check_references(references: dict[str, Reference]) -> None:
    """Check that every reference has a name that can be a file name, and is not fitted.

    Raises:
        RecipeConflict: one has an invalid name, `fit_bytes` or `fill_bytes`.
    """
    for name, reference in references.items():
        if not name.replace("-", "").replace("_", "").isalnum():
            raise RecipeConflict(
                f"{name!r} is not a valid name of a reference; use letters, digits, - and _", "references"
            )
        for key in ("fit_bytes", "fill_bytes"):
            if getattr(reference.quantizer, key):
                raise RecipeConflict(
                    f"a reference cannot have {key}: it is scored for comparison and never submitted; remove {key}",
                    *("references", name, "quantizer", key),
                )


def check_stride(stride: int, window: int) -> None:
    """Check that windows overlap or touch.

    Raises:
        RecipeConflict: the stride is longer than the window.
    """
    if stride > window:
        raise RecipeConflict(f"stride {stride} is longer than window {window}", "stride")


def plain_protocol(recipe: EvaluationRecipe) -> Chunked | Sliding | Documents:
    """Return the protocol without adaptation: the recipe itself, or the windows that an adapting protocol scores."""
    match recipe:
        case ScoreFirstTtt():
            return Sliding(
                kind="sliding",
                window=recipe.window,
                stride=recipe.stride,
                temperature=recipe.temperature,
                tail=recipe.tail,
            )
        case DocumentLora():
            return Documents(
                kind="document",
                window=recipe.window,
                stride=recipe.chunks[-1].tokens,
                temperature=recipe.temperature,
                tail=recipe.tail,
            )
        case _:
            return recipe
