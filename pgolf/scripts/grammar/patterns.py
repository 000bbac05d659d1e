"""Converts the patterns of `match` statements."""

import ast
from collections.abc import Callable

from tree_sitter import Node

from pgolf.scripts.grammar.expressions import expression
from pgolf.scripts.grammar.nodes import has_token, parts_of, place, quoted, refuse, text_of

SINGLETONS = {"true": True, "false": False, "none": None}


def pattern(node: Node) -> ast.pattern:
    """Return the pattern of a node."""
    if node.type == "case_pattern":
        return wrapped(node, parts_of(node))
    if node.type in PATTERNS:
        return PATTERNS[node.type](node)
    found = parts_of(node)
    where = place(node)
    match node.type:
        case "as_pattern":
            return ast.MatchAs(pattern(found[0]), text_of(found[1]), **where)
        case "union_pattern":
            return ast.MatchOr([pattern(each) for each in alternatives(node)], **where)
        case "tuple_pattern" if len(found) == 1 and not has_token(node, ","):
            return pattern(found[0])
        case "list_pattern" | "tuple_pattern":
            return ast.MatchSequence([pattern(each) for each in found], **where)
        case "splat_pattern":
            return ast.MatchStar(text_of(found[0]) if found else None, **where)
        case "true" | "false" | "none":
            return ast.MatchSingleton(SINGLETONS[node.type], **where)
        case "complex_pattern":
            return ast.MatchValue(complex_number(node), **where)
    return ast.MatchValue(expression(node), **where)


def alternatives(node: Node) -> list[Node]:
    """Return the alternatives of a union: its children, of which `_` has no name."""
    return [child for child in node.children if child.type not in ("|", "comment")]


def wrapped(node: Node, found: list[Node]) -> ast.pattern:
    """Return the pattern inside a node that may have a sign before a number, or be `_`."""
    if text_of(node) == "_":
        return ast.MatchAs(None, None, **place(node))
    if len(found) != 1:
        refuse(node, f"found {quoted(node)}, expected one pattern")
    if has_token(node, "-"):
        return ast.MatchValue(ast.UnaryOp(ast.USub(), expression(found[0]), **place(node)), **place(node))
    return pattern(found[0])


def named(node: Node) -> ast.pattern:
    """Return what captures a value as a name, or compares it with an attribute."""
    if text_of(node) == "_":
        return ast.MatchAs(None, None, **place(node))
    if "." not in text_of(node):
        return ast.MatchAs(None, text_of(node), **place(node))
    return ast.MatchValue(dotted(node), **place(node))


def dotted(node: Node) -> ast.expr:
    """Return a dotted name as an expression."""
    first, *others = parts_of(node)
    value: ast.expr = ast.Name(text_of(first), ast.Load(), **place(first))
    for each in others:
        value = ast.Attribute(value, text_of(each), ast.Load(), **place(first, each))
    return value


def complex_number(node: Node) -> ast.expr:
    """Return a sum of a real and an imaginary number, each of which may be negative."""
    real, imaginary = parts_of(node)
    signs = [child.type for child in node.children if child.type in "+-"]
    value = expression(real)
    if len(signs) == 2:
        value = ast.UnaryOp(ast.USub(), value, **place(node.children[0], real))
    operator = ast.Add() if signs[-1] == "+" else ast.Sub()
    return ast.BinOp(value, operator, expression(imaginary), **place(node))


KEYS: dict[str, Callable[[Node], ast.expr]] = {"dotted_name": dotted, "complex_pattern": complex_number}


def mapping(node: Node) -> ast.pattern:
    """Return a pattern of a mapping: keys before colons, patterns after them, and the rest."""
    keys, patterns, rest = list[ast.expr](), list[ast.pattern](), None
    sign: Node | None = None
    for number, child in enumerate(node.children):
        if child.type == "-":
            sign = child
        elif node.field_name_for_child(number) == "key":
            key = KEYS.get(child.type, expression)(child)
            keys.append(key if sign is None else ast.UnaryOp(ast.USub(), key, **place(sign, child)))
            sign = None
        elif child.type == "splat_pattern":
            rest = text_of(parts_of(child)[0])
        elif node.field_name_for_child(number) == "value":
            patterns.append(pattern(child))
    return ast.MatchMapping(keys, patterns, rest, **place(node))


def instance(node: Node) -> ast.pattern:
    """Return a pattern of a class and its attributes."""
    found = parts_of(node)
    positional, names, values = list[ast.pattern](), list[str](), list[ast.pattern]()
    for each in found[1:]:
        inside = parts_of(each)
        if len(inside) == 1 and inside[0].type == "keyword_pattern":
            keyword = inside[0]
            names.append(text_of(parts_of(keyword)[0]))
            values.append(keyword_value(keyword))
        else:
            positional.append(pattern(each))
    return ast.MatchClass(dotted(found[0]), positional, names, values, **place(node))


def keyword_value(node: Node) -> ast.pattern:
    """Return the pattern after the `=` of a keyword."""
    last = node.children[-1]
    if has_token(node, "-") and last.is_named:
        number = ast.UnaryOp(ast.USub(), expression(last), **place(node.children[-2], last))
        return ast.MatchValue(number, **place(node.children[-2], last))
    return pattern(last)


PATTERNS: dict[str, Callable[[Node], ast.pattern]] = {
    "dict_pattern": mapping,
    "class_pattern": instance,
    "dotted_name": named,
    "identifier": named,
    "_": named,
}
