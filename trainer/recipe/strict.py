"""The number types of a recipe, and the error for fields that contradict each other."""

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Annotated, Any

# What every recipe dataclass tells pydantic: unknown keys are errors, docstrings below fields are documentation.
CHECKED: dict[str, Any] = {"extra": "forbid"}


@dataclass(frozen=True, slots=True)
class Strict:
    """A marker for `Annotated`: the exact type (no `true` for 1, no "512" for 512) within bounds.

    pydantic calls `__get_pydantic_core_schema__`; `decode` calls `refusal`. Neither needs the other to be installed.
    """

    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        schema = {**handler(source), "strict": True}
        if schema["type"] == "float":
            schema["allow_inf_nan"] = False
        bounds = {"ge": self.ge, "gt": self.gt, "le": self.le, "lt": self.lt}
        return schema | {name: bound for name, bound in bounds.items() if bound is not None}

    def refusal(self, value: float) -> str | None:
        """Why `value` is out of bounds, or None."""
        if not isfinite(value):
            return "is not a finite number"
        if self.ge is not None and not value >= self.ge:
            return f"is not >= {self.ge}"
        if self.gt is not None and not value > self.gt:
            return f"is not > {self.gt}"
        if self.le is not None and not value <= self.le:
            return f"is not <= {self.le}"
        if self.lt is not None and not value < self.lt:
            return f"is not < {self.lt}"
        return None


Flag = Annotated[bool, Strict()]
# Bounds beyond which no run is meant: they keep arithmetic on typos finite.
LARGEST_COUNT, LARGEST_NUMBER = 2**31, 1e15
Count = Annotated[int, Strict(ge=1, le=LARGEST_COUNT)]
Whole = Annotated[int, Strict(ge=0, le=LARGEST_COUNT)]
Positive = Annotated[float, Strict(gt=0, le=LARGEST_NUMBER)]
NonNegative = Annotated[float, Strict(ge=0, le=LARGEST_NUMBER)]
Fraction = Annotated[float, Strict(ge=0, le=1)]
OpenFraction = Annotated[float, Strict(ge=0, lt=1)]


# What a component of the user's own may be given.
Option = Annotated[bool, Strict()] | Annotated[int, Strict()] | Annotated[float, Strict()] | str


class RecipeConflict(ValueError):
    """Two fields that cannot both be meant. `path` leads from the object that noticed to the field to change."""

    def __init__(self, message: str, *path: str) -> None:
        super().__init__(message)
        self.path = path
