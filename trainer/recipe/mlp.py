"""MLPs: the part of a block that treats each token alone."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from trainer.recipe.local import LocalMlp
from trainer.recipe.strict import CHECKED, Flag, Fraction, Positive


@dataclass(frozen=True, kw_only=True, slots=True)
class ReluSquared:
    """MLP with the activation relu(x)^2 (Primer, arXiv 2109.08668)."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["relu_squared"]
    ratio: Positive
    """Hidden width divided by model width."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LeakyReluSquared:
    """MLP with the activation leaky_relu(x)^2, which also lets the negative side through (#549)."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["leaky_relu_squared"]
    ratio: Positive
    """Hidden width divided by model width."""
    slope: Fraction = 0.5
    """Slope of the negative side, before the square."""
    affine: Flag = False
    """Whether the activation of each hidden unit has a learned scale and shift (#861)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SwiGlu:
    """MLP whose hidden units are silu(gate(x)) * up(x) (arXiv 2002.05202)."""

    __pydantic_config__: ClassVar = CHECKED
    kind: Literal["swiglu"]
    ratio: Positive
    """Hidden width divided by model width."""


MlpRecipe = ReluSquared | LeakyReluSquared | SwiGlu | LocalMlp
