"""What constants in a program's text say: names in tables, defaults, names that are put together."""

import ast
import re


def words_of_table(node: ast.expr) -> list[str]:
    """The names in a table of constants: a dictionary's keys, a list's texts, or the first texts of its rows."""
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


def written(default: ast.expr | None) -> str | None:
    """A default as text: a constant as the environment would hold it, anything else as it is written."""
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
            return written(inner)
        case ast.BinOp() | ast.UnaryOp():
            number = product(default)
            return ast.unparse(default) if number is None else str(number)
    return ast.unparse(default)


def product(node: ast.expr) -> float | int | None:
    """The number that sums and products of constants come to, or None."""
    match node:
        case ast.Constant(value=int() | float() as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            inner = product(operand)
            return None if inner is None else -inner
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() | ast.Mult() as operation, right=right):
            one, other = product(left), product(right)
            if one is None or other is None:
                return None
            match operation:
                case ast.Add():
                    return one + other
                case ast.Sub():
                    return one - other
            return one * other
    return None


def pattern_of(name: ast.expr) -> str:
    """A regular expression of the names that are put together by an expression."""
    match name:
        case ast.Constant(value=str() as word):
            return re.escape(word)
        case ast.JoinedStr(values=parts):
            return "".join(pattern_of(part) for part in parts)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return pattern_of(left) + pattern_of(right)
    return ".*"
