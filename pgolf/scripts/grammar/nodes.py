"""Reads nodes of tree-sitter's concrete trees: places, texts, children, and what is not Python 3."""

import ast
import unicodedata
from typing import Any, NoReturn, TypedDict

from tree_sitter import Node

EXTRAS = ("comment", "line_continuation")
LONGEST_QUOTE = 40


class Place(TypedDict):
    """Where a node of a syntax tree begins and ends, as `ast` counts: lines from 1, columns in bytes from 0."""

    lineno: int
    col_offset: int
    end_lineno: int
    end_col_offset: int


def place(first: Node, last: Node | None = None) -> Place:
    """Return the place of a node, or from one node to another."""
    end = (last or first).end_point
    return Place(
        lineno=first.start_point.row + 1,
        col_offset=first.start_point.column,
        end_lineno=end.row + 1,
        end_col_offset=end.column,
    )


def place_of(node: Any) -> Place:
    """Return the place of a converted node."""
    return Place(
        lineno=node.lineno,
        col_offset=node.col_offset,
        end_lineno=node.end_lineno,
        end_col_offset=node.end_col_offset,
    )


def text_of(node: Node) -> str:
    """Return the text of a node, of an identifier in the form in which Python compares identifiers."""
    text = (node.text or b"").decode()
    return unicodedata.normalize("NFKC", text) if node.type == "identifier" and not text.isascii() else text


def parts_of(node: Node) -> list[Node]:
    """Return the named children of a node without comments."""
    return [child for child in node.named_children if child.type not in EXTRAS]


def has_token(node: Node, token: str) -> bool:
    """Return whether a token is one of a node's own children."""
    return any(child.type == token for child in node.children)


def part(node: Node, field: str) -> Node:
    """Return the child in a field that the grammar requires.

    Raises:
        SyntaxError: there is none.
    """
    found = node.child_by_field_name(field)
    if found is None:
        refuse(node, f"found no {field.replace('_', ' ')} in it, expected one")
    return found


def refuse(node: Node, problem: str) -> NoReturn:
    """Raise for text that is not Python 3.

    Raises:
        SyntaxError: with line and column, both from 1.
    """
    line, column = node.start_point.row + 1, node.start_point.column + 1
    raise SyntaxError(problem, (None, line, column, None))


def quoted(node: Node) -> str:
    """Return the first line of a node's text between backticks, shortened."""
    lines = text_of(node).splitlines() or [""]
    return f"`{lines[0][:LONGEST_QUOTE]}`"


def stored(target: ast.expr, context: type[ast.Store | ast.Del]) -> ast.expr:
    """Change the context of an assigned or deleted expression, and return it."""
    waiting = [target]
    while waiting:
        match waiting.pop():
            case ast.Tuple() | ast.List() as several:
                several.ctx = context()
                waiting += several.elts
            case ast.Starred() as starred:
                starred.ctx = context()
                waiting.append(starred.value)
            case ast.Name() | ast.Attribute() | ast.Subscript() as single:
                single.ctx = context()
            case other:
                found = ast.unparse(other)[:LONGEST_QUOTE]
                problem = f"found an assignment to `{found}`, expected a name, an attribute or a subscript"
                raise SyntaxError(problem, (None, other.lineno, other.col_offset + 1, None))
    return target
