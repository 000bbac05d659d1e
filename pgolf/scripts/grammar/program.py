"""Parses programs of every Python 3, whichever Python runs pgolf.

tree-sitter reads the text, and this package converts its tree to the nodes of `ast`. Python's own parser knows only the
grammar of its version: that of 3.11 refuses `f"{h["dim"]}"`, which scripts for 3.12 have.
"""

import ast

import tree_sitter_python
from tree_sitter import Language, Node, Parser

from pgolf.scripts.grammar.nodes import parts_of, quoted, refuse
from pgolf.scripts.grammar.statements import statement


class TooDeep(Exception):
    """A statement has more levels than Python follows.

    Attributes:
        line: where the statement begins.
    """

    def __init__(self, line: int) -> None:
        super().__init__(f"line {line}: it is nested too deeply")
        self.line = line


PARSER = Parser(Language(tree_sitter_python.language()))


def parse_program(text: str) -> ast.Module:
    """Return the syntax tree of a program.

    Raises:
        SyntaxError: it is not Python 3.
        TooDeep: its levels are more than Python follows.
    """
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in lines:
        before = lines[: lines.index("\0")].split("\n")
        raise SyntaxError("found a null byte, expected text", (None, len(before), len(before[-1]) + 1, None))
    root = PARSER.parse(lines.encode(errors="surrogatepass")).root_node
    if root.has_error:
        refuse_first_error(root)
    body = list[ast.stmt]()
    for node in parts_of(root):
        try:
            body.append(statement(node))
        except RecursionError:
            raise TooDeep(node.start_point.row + 1) from None
    return ast.Module(body, type_ignores=[])


def refuse_first_error(root: Node) -> None:
    """Raise for the first text that the grammar has no place for; none if all of it is in parameters of types.

    The grammar does not know their defaults, which Python 3.13 added, and they are left out anyway.

    Raises:
        SyntaxError: with the place and the text.
    """
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if node.is_missing:
            refuse(node, f"found no `{node.type}`, expected one")
        inside = [child for child in node.children if child.has_error and child.type != "type_parameter"]
        if node.type == "ERROR" and not inside:
            refuse(node, f"found {quoted(node)}, expected Python 3")
        waiting += reversed(inside)
