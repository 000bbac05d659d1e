"""Number types of recipe fields, and the error for fields that contradict each other."""

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Annotated, Any

# pydantic settings of every recipe dataclass: unknown keys are errors.
CHECKED: dict[str, Any] = {"extra": "forbid"}


@dataclass(frozen=True, slots=True)
class Strict:
    """A marker for `Annotated`: the exact type (no `true` for 1, no "512" for 512) within bounds.

    pydantic calls `__get_pydantic_core_schema__`; `decode`, which works without pydantic, calls `violated_bound`.
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

    def violated_bound(self, value: float) -> str | None:
        """Return the bound that `value` violates, or None."""
        if not isfinite(value):
            return "a finite number"
        if self.ge is not None and not value >= self.ge:
            return f">= {self.ge}"
        if self.gt is not None and not value > self.gt:
            return f"> {self.gt}"
        if self.le is not None and not value <= self.le:
            return f"<= {self.le}"
        if self.lt is not None and not value < self.lt:
            return f"< {self.lt}"
        return None


Flag = Annotated[bool, Strict()]
# Upper bounds above every sensible value; they keep arithmetic on mistyped numbers finite.
LARGEST_COUNT, LARGEST_NUMBER = 2**31, 1e15
Count = Annotated[int, Strict(ge=1, le=LARGEST_COUNT)]
Whole = Annotated[int, Strict(ge=0, le=LARGEST_COUNT)]
Amount = Annotated[int, Strict(ge=0, le=2**53)]
"""Of something that may be larger than memory. Units: bytes or tokens."""
Positive = Annotated[float, Strict(gt=0, le=LARGEST_NUMBER)]
NonNegative = Annotated[float, Strict(ge=0, le=LARGEST_NUMBER)]
Fraction = Annotated[float, Strict(ge=0, le=1)]
OpenFraction = Annotated[float, Strict(ge=0, lt=1)]

# Types of the options of a local component.
Option = Annotated[bool, Strict()] | Annotated[int, Strict()] | Annotated[float, Strict()] | str


class RecipeConflict(ValueError):
    """Fields contradict each other. `path` leads from the object that raised it to the field to change."""

    def __init__(self, message: str, *path: str) -> None:
        super().__init__(message)
        self.path = path
