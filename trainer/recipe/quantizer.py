"""How float weights become small integers."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from trainer.recipe.inventory import TensorSpec
from trainer.recipe.patterns import check_patterns
from trainer.recipe.strict import (
    CHECKED,
    Count,
    Flag,
    Fraction,
    NonNegative,
    OpenFraction,
    Option,
    Positive,
    Strict,
    Whole,
)

Bits = Literal[2, 3, 4, 5, 6, 7, 8]


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviationClip:
    """Clip each row at k standard deviations of that row (community: SDClip)."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["deviations"]
    k: dict[str, Positive]
    """Standard deviations, by tensor name pattern; `default` for the rest."""

    def __post_init__(self) -> None:
        check_patterns(self.k, "k")


@dataclass(frozen=True, kw_only=True, slots=True)
class PercentileClip:
    """Clip each row at a percentile of its absolute values."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["percentile"]
    percentile: Annotated[float, Strict(gt=0, le=100)]
    """The percentile; 100 is the largest weight of the row."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchedClip:
    """Clip each row at that one of the percentiles 99.9, 99.95, 99.99, 99.999 and 100 which rounds it with the least
    squared error (GPTQ-lite).
    """

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["searched"]
    tables: Annotated[float, Strict(gt=0, le=100)] = 99.99984
    """Percentile for tensors of the embedding, which are not searched."""


ClipRecipe = DeviationClip | PercentileClip | SearchedClip


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedTrainingGrid:
    """Quirk of the published scripts: weights are trained on another grid than the one they are exported on."""

    __pydantic_config__: ClassVar = CHECKED
    bits: dict[str, Bits]
    """Bits a weight, by tensor name pattern; `default` for the rest."""
    percentile: Annotated[float, Strict(gt=0, le=100)] = 100.0
    """Where a row's grid ends; 100 is its largest weight."""
    scale_floor: NonNegative = 0.0
    """Smallest step of a row."""

    def __post_init__(self) -> None:
        check_patterns(self.bits, "bits")


@dataclass(frozen=True, kw_only=True, slots=True)
class StraightThrough:
    """Train with rounded weights, whose gradients pass to the float ones unchanged (QAT, straight-through)."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["straight_through"]
    below_lr: Fraction = 1.0
    """Learning-rate multiplier at or below which weights are rounded; 1 rounds from the first step on."""
    softness: NonNegative = 0.0
    """Softness of rounding where it begins, going down to 0 with the learning rate: with sharpness a = 1 / softness, u
    becomes floor(u) + 1/2 + tanh(a (frac(u) - 1/2)) / (2 tanh(a / 2)). 0 rounds to nearest from the start.
    """
    tables: Flag = False
    """Whether tables are rounded as well, and not only matrices."""
    published_grid: PublishedTrainingGrid | None = None
    """Another grid than that of the export; null is the honest one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FloatTraining:
    """Train with the float weights."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["none"] = "none"


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingText:
    """Calibrate on sequences of training text, drawn at random by the run's seed, inside the training budget."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["training"]
    sequences: Count = 64
    """How many."""
    tokens: Count | None = None
    """Tokens of each; null: as in training."""
    published_first: Flag = False
    """Quirk of #576 and #1535: the first sequences of the first shard, whatever the seed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GeneratedText:
    """Calibrate on text that the float model itself writes, so that no training data is read after training."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["generated"]
    sequences: Count = 64
    """How many."""
    tokens: Count | None = None
    """Tokens of each; null: as in training."""
    temperature: Positive = 0.8
    """What logits are divided by before a token is drawn."""


CalibrationRecipe = TrainingText | GeneratedText


@dataclass(frozen=True, kw_only=True, slots=True)
class LowRankResidual:
    """Store what rounding lost of some matrices as the product of two thin ones (LQER)."""

    __pydantic_config__: ClassVar = CHECKED
    tensors: Count = 3
    """How many matrices, those of the largest error first."""
    rank: Count = 4
    """Rank of the product."""
    bits: Bits = 4
    """Bits a value of both thin matrices."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """What every quantizer has: a symmetric grid with one float16 step a row."""

    __pydantic_config__: ClassVar = CHECKED
    bits: dict[str, Bits] = field(
        metadata={
            "description": "Bits a weight, by tensor name pattern; `default` for the rest. b bits give the levels "
            "-(2^(b-1) - 1) .. 2^(b-1) - 1."
        }
    )
    clip: ClipRecipe = field(metadata={"discriminator": "kind", "description": "Where the grid of a row ends."})
    scale_floor: dict[str, NonNegative] = field(
        default_factory=dict,
        metadata={
            "description": "Smallest step of a row, by tensor name pattern; empty has none. The published scripts hide "
            "one of 1 / levels here, which makes rows below it coarser."
        },
    )
    float_up_to: Whole = field(
        default=65_536, metadata={"description": "Tensors with at most this many values stay float."}
    )
    float_type: Literal["float16", "float32"] = field(
        default="float16", metadata={"description": "How tensors that are not quantized are stored."}
    )
    pruned: OpenFraction = field(
        default=0.0,
        metadata={"description": "Share of each matrix, its smallest weights, that is set to zero before rounding."},
    )
    fit_bytes: Whole = field(
        default=0,
        metadata={
            "description": "Set codes of 1 and -1 to zero, those of the smallest steps first, until model.bin has at "
            "most so many bytes; 0 leaves them alone."
        },
    )
    fitted: tuple[str, ...] = field(
        default=("*",), metadata={"description": "Patterns of the matrices whose codes may be set to zero to fit."}
    )
    residual: LowRankResidual | None = field(
        default=None,
        metadata={"description": "What rounding lost of the worst matrices, in low rank; null stores none."},
    )
    training: StraightThrough | FloatTraining = field(
        default=FloatTraining(),
        metadata={"discriminator": "kind", "description": "Whether training already sees rounded weights."},
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Rtn(Grid):
    """Round each weight to the nearest step of its row."""

    kind: Literal["rtn"]

    def __post_init__(self) -> None:
        check_grid(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class Gptq(Grid):
    """Round column by column, each time moving what was lost into the columns to come, so that the layer's outputs on
    calibration text change least (GPTQ, arXiv 2210.17323).
    """

    kind: Literal["gptq"]
    calibration: CalibrationRecipe = field(metadata={"discriminator": "kind"})
    """The text on which inputs of matrices are seen."""
    damping: Positive = 0.01
    """Added to the Hessian's diagonal, as a share of its mean."""
    order: Literal["descending", "natural", "ascending"] = "descending"
    """Columns by the energy of their inputs: the strongest first (act-order), as they stand, or the weakest first."""
    block: Count = 128
    """Columns that are rounded before the rest of the matrix hears of it."""
    loop_aware: Flag = False
    """Whether the Hessians of looped and shared blocks are taken again with all other matrices rounded (#1535)."""
    tables: Literal["rtn", "head_inputs"] = "rtn"
    """How tables are rounded: to nearest, or the one that makes the logits by GPTQ over what the head reads (#1394)."""
    published_inverse: Flag = False
    """Quirk of #576 and #1535: errors are spread by the inverse Hessian itself instead of its Cholesky factor, which is
    right for the first column only.
    """

    def __post_init__(self) -> None:
        check_grid(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalQuantizer(Grid):
    """A quantizer of the user's own, made as CLASS(recipe, **options). In a spec: `kind: local:FILE.py:CLASS`. Codes
    and one step a row are what is stored.
    """

    kind: Literal["local"]
    file: str
    """The file, relative to the one that names it."""
    class_name: str
    """The class in it."""
    options: dict[str, Option] = field(default_factory=dict)
    """What the class is given besides, by name."""

    def __post_init__(self) -> None:
        check_grid(self)


QuantizerRecipe = Rtn | Gptq | LocalQuantizer


def check_grid(grid: Grid) -> None:
    """Nothing, if every pattern can name a tensor and defaults are there."""
    check_patterns(grid.bits, "bits")
    if grid.scale_floor:
        check_patterns(grid.scale_floor, "scale_floor")


def is_quantized(recipe: QuantizerRecipe, tensor: TensorSpec) -> bool:
    """Whether a tensor becomes integers: matrices above the recipe's size do, gains and scales never."""
    return tensor.group != "control" and tensor.size > recipe.float_up_to
