"""Evaluates the expressions of a model's constructor that decide on the sizes of its tensors.

Nothing of the script is executed: numbers, lists, ranges and shapes are computed here, and everything else is UNKNOWN.
"""

import ast
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import ceil, exp, floor, gcd, log, log2, prod, sqrt
from typing import Any

from pgolf.drafting.counting.objects import UNKNOWN, Learned, Shape

MOST_ITEMS = 4096
"""Longest list; a model has fewer layers."""
MOST_STEPS = 100_000
"""Most expressions that are evaluated for a script."""
MOST_SIZE = 10**12
MOST_BITS = 40
"""Largest exponent of a power, and largest shift."""


def listed(numbers: range) -> list[int]:
    """Return the numbers of a range.

    Raises:
        ValueError: there are more than MOST_ITEMS.
    """
    if len(numbers) > MOST_ITEMS:
        raise ValueError(f"more than {MOST_ITEMS} numbers")
    return list(numbers)


def bounded(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Return a power or a shift that is not computed for a large exponent."""
    return lambda one, other: function(one, other) if abs(other) <= MOST_BITS else UNKNOWN


BINARY: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod,
    ast.Pow: bounded(operator.pow), ast.LShift: bounded(operator.lshift), ast.RShift: bounded(operator.rshift),
    ast.BitAnd: operator.and_, ast.BitOr: operator.or_, ast.BitXor: operator.xor,
}  # fmt: skip
COMPARED: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge, ast.Is: operator.is_, ast.IsNot: operator.is_not,
    ast.In: lambda one, many: one in many, ast.NotIn: lambda one, many: one not in many,
}  # fmt: skip
PLAIN: Mapping[str, Callable[..., Any]] = {
    "int": int, "float": float, "bool": bool, "str": str, "len": len, "min": min, "max": max, "round": round,
    "abs": abs, "sum": sum, "list": list, "tuple": tuple, "set": set, "sorted": sorted,
    "enumerate": lambda x: list(enumerate(x)),
    "range": lambda *x: listed(range(*x)), "any": any, "all": all,
    "zip": lambda *x: list(zip(*x, strict=False)), "reversed": lambda x: list(reversed(x)),
}  # fmt: skip
# Functions that look at the members of a list, whatever these are, and not into them.
SHALLOW = ("len", "list", "tuple", "enumerate", "zip", "reversed")
MATHEMATICS: Mapping[str, Callable[..., Any]] = {
    "math.ceil": ceil, "math.floor": floor, "math.sqrt": sqrt, "math.log": log, "math.log2": log2, "math.exp": exp,
    "math.prod": prod, "math.gcd": gcd,
}  # fmt: skip
TEXT_METHODS = ("split", "strip", "lower", "upper", "startswith", "endswith", "replace")
FILLED = ("zeros", "ones", "empty", "randn", "rand")
KEPT = (
    "clone", "float", "bfloat16", "half", "to", "mul", "mul_", "fill_", "normal_", "uniform_", "zero_", "view",
    "reshape", "contiguous", "detach", "unsqueeze", "squeeze", "t", "log", "exp", "full_like", "zeros_like",
    "ones_like", "cpu", "cuda", "double", "flatten", "transpose", "permute", "neg", "sqrt", "abs", "tanh", "sigmoid",
)  # fmt: skip


def members_of(value: Any) -> Iterator[Any]:
    """Yield the members of nested lists, or the value itself.

    Raises:
        ValueError: there are more than MOST_ITEMS, lists included.
    """
    waiting, seen = [value], 0
    while waiting:
        seen += 1
        if seen > MOST_ITEMS:
            raise ValueError(f"more than {MOST_ITEMS} members")
        each = waiting.pop()
        if isinstance(each, list | tuple | set):
            waiting += each
        else:
            yield each


def is_plain(value: Any) -> bool:
    """Return whether a value is a number, a text, None, or a list of those."""
    return all(each is None or isinstance(each, bool | int | float | str) for each in members_of(value))


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) <= MOST_SIZE


def product_of(dimensions: Sequence[Any]) -> int | None:
    """Return the number of values of a tensor with these dimensions; None if one is unknown."""
    if len(dimensions) == 1 and isinstance(dimensions[0], list | tuple):
        dimensions = dimensions[0]
    sizes = [each for each in dimensions if isinstance(each, int) and 0 <= each <= MOST_SIZE]
    return prod(sizes) if len(sizes) == len(dimensions) else None


def count_values(value: Any) -> int | None:
    """Return the number of values of a tensor, of a number, or of a nested list of them; None if it is unknown."""
    count = 0
    for each in members_of(value):
        size = each.size if isinstance(each, Shape | Learned) else 1 if isinstance(each, int | float) else None
        if size is None:
            return None
        count += size
    return count


def tensor_of(name: str, arguments: Sequence[Any]) -> Shape | None:
    """Return what a function of torch with this name makes; None if it is not known to make a tensor."""
    first: Any = arguments[0] if arguments else UNKNOWN
    if name in FILLED:
        return Shape(product_of(arguments) if arguments else None)
    if name == "full":
        return Shape(product_of([first]))
    if name in ("tensor", "stack", "cat", "as_tensor", *KEPT):
        return Shape(count_values(first))
    if name == "arange":
        return Shape(len(range(*arguments)) if all(isinstance(each, int) for each in arguments) else None)
    if name == "linspace":
        return Shape(product_of(arguments[2:3]) if len(arguments) > 2 else None)
    if name == "eye":
        return Shape(product_of([first, *arguments[1:2]] if len(arguments) > 1 else [first, first]))
    return None
