"""How float weights become small integers."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from trainer.recipe.inventory import TensorSpec
from trainer.recipe.patterns import check_patterns
from trainer.recipe.strict import CHECKED, NonNegative, Positive, Strict, Whole

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
class Rtn:
    """Round to nearest (RTN) on a symmetric grid with one float16 scale a row."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["rtn"]
    bits: dict[str, Bits]
    """Bits a weight, by tensor name pattern; `default` for the rest. b bits give the levels -(2^(b-1) - 1) ..
    2^(b-1) - 1.
    """
    clip: DeviationClip | PercentileClip = field(metadata={"discriminator": "kind"})
    """Where the grid of a row ends."""
    scale_floor: NonNegative = 0.0
    """Smallest step of a row. The published scripts hide one of 1 / levels here, which makes rows below it coarser."""
    float_up_to: Whole = 65_536
    """Tensors with at most this many values stay float."""
    float_type: Literal["float16", "float32"] = "float16"
    """How tensors that are not quantized are stored."""

    def __post_init__(self) -> None:
        check_patterns(self.bits, "bits")


QuantizerRecipe = Rtn


def is_quantized(recipe: QuantizerRecipe, tensor: TensorSpec) -> bool:
    """Whether a tensor becomes integers: matrices above the recipe's size do, gains and scales never."""
    return tensor.group != "control" and tensor.size > recipe.float_up_to
