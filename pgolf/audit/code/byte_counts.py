"""Signatures of byte counts that count the space before a word twice."""

import ast
import re
from collections.abc import Iterator

from pgolf.audit.code.flow import names_in
from pgolf.audit.code.program import Program, Scope, call_name
from pgolf.audit.code.suspicion import Suspicion, suspect

SPACE_TABLE = re.compile(r"space|leading|ls_lut|has_ls|_sp(_|$)")
MARK = "\u2581"


def find_spaces_counted_twice(program: Program) -> Iterator[Suspicion]:
    """Yield a byte table that includes the space if another place adds it once more."""
    adding = [(scope, node) for scope in program.scopes for node in scope.nodes if adds_space(node)]
    if not adding:
        return
    for scope in program.scopes:
        for node in scope.nodes:
            if holds_space(node, scope):
                other, place = adding[0]
                message = (
                    f"the byte table includes the space before a word, and {other.file.place(place)} adds it once more"
                )
                yield suspect(program, scope, node, "SPACE-ONCE", message)
                return


def adds_space(node: ast.AST) -> bool:
    """Return whether a node is `has_space[token] & ~is_boundary[previous]` or an equivalent."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd | ast.Mult):
        sides = (node.left, node.right)
        negated = any(is_negated(side) for side in sides)
        is_table = any(isinstance(stripped(side), ast.Subscript) for side in sides)
        return negated and is_table and (isinstance(node.op, ast.BitAnd) or of_space(node))
    if isinstance(node, ast.Call) and call_name(node) == "logical_and":
        return any(of_space(each) for each in node.args) and any(
            "not" in ast.unparse(each) or "~" in ast.unparse(each) for each in node.args
        )
    if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And):
        return any(of_space(each) and isinstance(stripped(each), ast.Subscript) for each in node.values) and any(
            is_negated(each) for each in node.values
        )
    return False


def stripped(node: ast.expr) -> ast.expr:
    """Return an expression without the casts around it."""
    while isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        node = node.func.value
    return node


def is_negated(node: ast.expr) -> bool:
    inner = stripped(node)
    if isinstance(inner, ast.UnaryOp) and isinstance(inner.op, ast.Invert | ast.Not):
        return isinstance(stripped(inner.operand), ast.Subscript)
    return isinstance(inner, ast.BinOp) and isinstance(inner.op, ast.Sub) and isinstance(inner.left, ast.Constant)


def of_space(node: ast.AST) -> bool:
    return any(SPACE_TABLE.search(name) for name in names_in(node))


def holds_space(node: ast.AST, scope: Scope) -> bool:
    """Return whether a node is the byte length of a piece including its space.

    That is `len(piece[1:].encode()) + 1`, or the length of the piece with the mark replaced by a space.
    """
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        sides = (node.left, node.right)
        return any(is_one(side) for side in sides) and any(is_length_of_bytes(side) for side in sides)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub) and takes_two(node.right):
        return bool(re.search(r"len|byte|width|nb$|size", " ".join(names_in(node.left)))) and marks_nearby(scope)
    if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add) and is_one(node.value):
        return bool(re.search(r"len|byte|nb$|size", " ".join(names_in(node.target)))) and marks_nearby(scope)
    if isinstance(node, ast.Call) and is_length_of_bytes(node):
        return any(replaces_mark(part) for part in ast.walk(node))
    return False


def takes_two(node: ast.AST) -> bool:
    """Return whether a node contains 2: replacing the three bytes of the mark by a space removes two."""
    return any(isinstance(part, ast.Constant) and part.value == 2 for part in ast.walk(node)) and not isinstance(
        node, ast.Call
    )


def is_one(node: ast.AST) -> bool:
    return (isinstance(node, ast.Constant) and node.value == 1) or (
        isinstance(node, ast.IfExp) and isinstance(node.body, ast.Constant) and node.body.value == 1
    )


def is_length_of_bytes(node: ast.AST) -> bool:
    """Return whether a node is len(....encode(...))."""
    return (
        isinstance(node, ast.Call)
        and call_name(node) == "len"
        and any(isinstance(part, ast.Call) and call_name(part) == "encode" for part in ast.walk(node))
    )


def replaces_mark(node: ast.AST) -> bool:
    """Return whether a node is `.replace(mark, " ")`."""
    return (
        isinstance(node, ast.Call)
        and call_name(node) == "replace"
        and [each.value for each in node.args if isinstance(each, ast.Constant)] == [MARK, " "]
    )


def marks_nearby(scope: Scope) -> bool:
    """Return whether a function contains the mark of a leading space."""
    return any(isinstance(node, ast.Constant) and node.value == MARK for node in scope.nodes)
