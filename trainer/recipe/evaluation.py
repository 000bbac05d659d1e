"""By which protocol the decoded artifact is scored. Every one scores each target exactly once."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from trainer.recipe.patterns import check_pattern_names
from trainer.recipe.quantizer import QuantizerRecipe
from trainer.recipe.strict import CHECKED, Count, NonNegative, OpenFraction, Positive, RecipeConflict


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """Another way to quantize the same weights."""

    __pydantic_config__: ClassVar = CHECKED
    quantizer: QuantizerRecipe = field(metadata={"discriminator": "kind"})
    """Float weights to integers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoringProtocol:
    """What every protocol has."""

    __pydantic_config__: ClassVar = CHECKED
    window: Count = field(metadata={"description": "Tokens per window."})
    temperature: Positive = field(
        default=1.0,
        metadata={"description": "What logits are divided by: a number fixed in the spec, never fitted while scoring."},
    )
    tail: Literal["score", "drop"] = field(
        default="score",
        metadata={
            "description": "drop leaves out the targets after the last full window, as published scripts did: a score "
            "of somewhat less text, which is no headline for a submission."
        },
    )
    references: dict[str, Reference] = field(
        default_factory=dict,
        metadata={"description": "Further quantizers by name, scored beside the exported one and never the headline."},
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunked(ScoringProtocol):
    """Disjoint windows: the first target of a window has no context but its input token."""

    kind: Literal["chunked"]

    def __post_init__(self) -> None:
        check_references(self.references)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sliding(ScoringProtocol):
    """Overlapping windows: each scores its last `stride` targets, so that most have window - stride tokens of
    context.
    """

    kind: Literal["sliding"]
    stride: Count
    """New targets per window."""

    def __post_init__(self) -> None:
        check_references(self.references)
        check_stride(self.stride, self.window)


@dataclass(frozen=True, kw_only=True, slots=True)
class Documents(ScoringProtocol):
    """Overlapping windows that begin anew with each document: no target sees another document than its own."""

    kind: Literal["document"]
    stride: Count
    """New targets per window."""

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
    """Momentum, which goes on over chunks."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AdamW:
    """AdamW."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["adamw"]
    lr: NonNegative
    """Learning rate of the first chunk."""
    beta1: OpenFraction = 0.9
    """Decay of the mean gradient."""
    beta2: OpenFraction = 0.999
    """Decay of the mean squared gradient."""
    epsilon: Positive = 1e-8
    """Denominator floor."""
    weight_decay: NonNegative = 0.0
    """Decoupled decay."""


AdaptationOptimizer = Sgd | AdamW


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreFirstTtt(ScoringProtocol):
    """Sliding windows over a model that learns, chunk by chunk, from what it has already been scored on (score-first
    test-time training). Plain sliding windows over the artifact are scored as well, and reported apart.
    """

    kind: Literal["score_first_ttt"]
    stride: Count
    """New targets per window."""
    chunk_tokens: Count = 32_768
    """Targets that are scored before the model learns from them."""
    optimizer: AdaptationOptimizer = field(metadata={"discriminator": "kind"})
    """How it learns; the learning rate falls along a cosine over the chunks."""
    epochs: Count = 3
    """How often it goes through a chunk."""
    batch_sequences: Count = 32
    """Sequences of one step, each as long as a window."""
    clip_norm: NonNegative = 1.0
    """Largest gradient norm; 0 does not clip."""
    learn: tuple[str, ...] = ("*",)
    """Patterns of the tensors that learn."""
    freeze: tuple[str, ...] = ()
    """Patterns of tensors that do not, though `learn` names them."""

    def __post_init__(self) -> None:
        check_references(self.references)
        check_stride(self.stride, self.window)
        check_pattern_names(self.learn, "learn")
        check_pattern_names(self.freeze, "freeze")
        if self.chunk_tokens < self.window:
            raise RecipeConflict(f"a chunk of {self.chunk_tokens} tokens has no window to learn from", "chunk_tokens")


@dataclass(frozen=True, kw_only=True, slots=True)
class DocumentLora(ScoringProtocol):
    """Each document by itself, in chunks; after a chunk is scored, low-rank additions to the matrices learn from it,
    and the next document begins without them (#1530). Plain document windows are scored as well, and reported apart.
    Documents are adapted to one after the other, on each process: for studies, not for 40 million tokens in 600 s.
    """

    kind: Literal["document_lora"]
    chunk_tokens: Count = 48
    """Targets that are scored before the additions learn from them."""
    rank: Count = 80
    """Rank of the additions."""
    alpha: Positive = 144.0
    """The additions count alpha / rank times."""
    learn: tuple[str, ...] = ("*",)
    """Patterns of the matrices that have additions."""
    lr: NonNegative = 1e-4
    """Learning rate of AdamW."""
    beta1: OpenFraction = 0.0
    """Decay of the mean gradient."""
    beta2: OpenFraction = 0.99
    """Decay of the mean squared gradient."""
    epsilon: Positive = 1e-10
    """Denominator floor."""
    weight_decay: NonNegative = 0.5
    """Decoupled decay."""

    def __post_init__(self) -> None:
        check_references(self.references)
        check_pattern_names(self.learn, "learn")
        if self.chunk_tokens > self.window:
            raise RecipeConflict(f"a chunk of {self.chunk_tokens} tokens is longer than the window", "chunk_tokens")


EvaluationRecipe = Chunked | Sliding | Documents | ScoreFirstTtt | DocumentLora


def check_references(references: dict[str, Reference]) -> None:
    """Nothing, if every name can be that of a file.

    Raises: RecipeConflict otherwise.
    """
    for name, reference in references.items():
        if not name.replace("-", "").replace("_", "").isalnum():
            raise RecipeConflict(f"{name!r} is no name for a reference; take letters, digits, - and _", "references")
        if reference.quantizer.fit_bytes:
            raise RecipeConflict(
                "a reference is not made to fit: it shows what rounding costs, and is not handed in",
                *("references", name, "quantizer", "fit_bytes"),
            )


def check_stride(stride: int, window: int) -> None:
    """Nothing, if windows overlap or touch.

    Raises: RecipeConflict otherwise.
    """
    if stride > window:
        raise RecipeConflict(f"stride {stride} is longer than window {window}", "stride")


def plain_protocol(recipe: EvaluationRecipe) -> Chunked | Sliding | Documents:
    """The protocol without learning: itself, or the windows that a learning one scores."""
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
                stride=recipe.chunk_tokens,
                temperature=recipe.temperature,
                tail=recipe.tail,
            )
        case _:
            return recipe
