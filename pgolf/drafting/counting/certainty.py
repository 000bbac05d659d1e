"""What is certain of values that are known in part: truth, sameness, comparisons, items and shapes."""

import ast
from collections.abc import Sequence
from typing import Any

from pgolf.drafting.counting.arithmetic import COMPARED, is_number, is_plain
from pgolf.drafting.counting.objects import UNKNOWN, External, Learned, Method, Object, Shape, Super, Unknown


class UndecidedError(Exception):
    """What a comprehension gives is not known."""


def plain_key(key: Any) -> Any:
    """Return a dictionary's key.

    Raises:
        TypeError: it is not known.
    """
    if isinstance(key, str | int | float | bool) or key is None:
        return key
    raise TypeError("the key is not known")


def items_of(iterated: Any) -> Sequence[Any]:
    """Return what a loop runs over.

    Raises:
        UndecidedError: that is not known.
    """
    if isinstance(iterated, list | tuple | dict | set | str):
        return list(iterated)
    raise UndecidedError


def truth(value: Any) -> bool | None:
    """Return whether a value counts as true; None if that is not known."""
    if isinstance(value, Unknown | Shape | Learned | External | Super):
        return None
    return bool(value) if not isinstance(value, Object | Method) else True


def is_same(one: Any, other: Any) -> bool:
    """Return whether two values are the same constant, or the same object."""
    try:
        return one is other or (is_plain(one) and is_plain(other) and type(one) is type(other) and one == other)
    except ValueError:
        return False


def compared(op: ast.cmpop, one: Any, other: Any) -> Any:
    """Return the result of a comparison, or UNKNOWN."""
    if isinstance(one, Unknown) or isinstance(other, Unknown):
        return UNKNOWN
    if isinstance(op, ast.Is | ast.IsNot) and (one is None or other is None or not isinstance(one, External)):
        return COMPARED[type(op)](one, other)
    if isinstance(op, ast.In | ast.NotIn) and isinstance(other, dict) and isinstance(one, str | int):
        return COMPARED[type(op)](one, other)
    return COMPARED[type(op)](one, other) if is_plain(one) and is_plain(other) else UNKNOWN


def broadcast(left: Any, right: Any) -> Shape:
    """Return the shape of an operation on two tensors, or on a tensor and a number."""
    sizes = [
        each.size if isinstance(each, Shape | Learned) else 1 if is_number(each) else None for each in (left, right)
    ]
    known = [size for size in sizes if size is not None]
    return Shape(max(known) if len(known) == 2 and 1 in known else None)
