"""Evaluates constants in a program's text: names in tables, default values, patterns of composed names."""

import ast
import re

from pgolf.scripts.source import MOST_INTEGER_BITS

ANYTHING = ".*"
# No variable has a longer name; a pattern takes a hundred times its length when it is compiled.
LONGEST_PATTERN = 1_000
# What a matcher would try in all ways to share a name among several.
REPEATED_ANYTHING = re.compile(r"(?:\.\*){2,}")


def names_in_table(node: ast.expr) -> list[str]:
    """Return the strings of a dictionary's keys, a list's elements, or the first elements of its rows."""
    match node:
        case ast.Dict(keys=keys):
            parts: list[ast.expr | None] = list(keys)
        case ast.List(elts=elements) | ast.Tuple(elts=elements) | ast.Set(elts=elements):
            parts = [
                each.elts[0] if isinstance(each, ast.Tuple | ast.List) and each.elts else each for each in elements
            ]
        case _:
            return []
    words = [part.value for part in parts if isinstance(part, ast.Constant)]
    return [word for word in words if isinstance(word, str)]


def default_text(default: ast.expr | None) -> str | None:
    """Return a default as text: a constant as an environment variable would hold it, else its source code."""
    if default is None:
        return None
    match default:
        case ast.Constant(value=None):
            return ""
        case ast.Constant(value=bool() as truth):
            return str(int(truth))
        case ast.Constant(value=str() | int() | float() as value):
            return str(value)
        case ast.Call(func=ast.Name(id="str" | "int" | "float" | "bool"), args=[inner]):
            return default_text(inner)
        case ast.BinOp() | ast.UnaryOp():
            number = evaluate_number(default)
            return ast.unparse(default) if number is None else str(number)
    return ast.unparse(default)


def evaluate_number(node: ast.expr) -> float | int | None:
    """Return the value of sums and products of constants, or None for any other expression."""
    match node:
        case ast.Constant(value=int() | float() as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            inner = evaluate_number(operand)
            return None if inner is None else -inner
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() | ast.Mult() as operation, right=right):
            one, other = evaluate_number(left), evaluate_number(right)
            if one is None or other is None or is_long(one) or is_long(other):
                return None
            match operation:
                case ast.Add():
                    return one + other
                case ast.Sub():
                    return one - other
            return one * other
    return None


def is_long(number: float | int) -> bool:
    """Return whether a number has more digits than Python prints of a product."""
    return isinstance(number, int) and number.bit_length() > MOST_INTEGER_BITS // 2


def name_pattern(name: ast.expr) -> str:
    """Return a regular expression for the names that an expression can compose."""
    match name:
        case ast.Constant(value=str() as word):
            pattern = re.escape(word)
        case ast.JoinedStr(values=parts):
            pattern = "".join(name_pattern(part) for part in parts)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            pattern = name_pattern(left) + name_pattern(right)
        case _:
            return ANYTHING
    pattern = REPEATED_ANYTHING.sub(ANYTHING, pattern)
    return pattern if len(pattern) <= LONGEST_PATTERN else ANYTHING
