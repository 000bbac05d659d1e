"""Converts expressions, annotations and parameters."""

import ast
from collections.abc import Callable
from typing import Any

from tree_sitter import Node

from pgolf.scripts.grammar.nodes import has_token, part, parts_of, place, place_of, quoted, refuse, stored, text_of
from pgolf.scripts.grammar.strings import converted_string

BINARY: dict[str, type[ast.operator]] = {
    "+": ast.Add, "-": ast.Sub, "*": ast.Mult, "/": ast.Div, "//": ast.FloorDiv, "%": ast.Mod, "**": ast.Pow,
    "@": ast.MatMult, "|": ast.BitOr, "&": ast.BitAnd, "^": ast.BitXor, "<<": ast.LShift, ">>": ast.RShift,
}  # fmt: skip
UNARY: dict[str, type[ast.unaryop]] = {"+": ast.UAdd, "-": ast.USub, "~": ast.Invert}
COMPARED: dict[str, type[ast.cmpop]] = {
    "<": ast.Lt, "<=": ast.LtE, "==": ast.Eq, "!=": ast.NotEq, ">=": ast.GtE, ">": ast.Gt,
    "in": ast.In, "not in": ast.NotIn, "is": ast.Is, "is not": ast.IsNot,
}  # fmt: skip
# Where these nodes begin with an expression.
FIRST: dict[type[ast.expr], str] = {
    ast.Call: "func", ast.Attribute: "value", ast.Subscript: "value", ast.BinOp: "left", ast.Compare: "left"
}  # fmt: skip
WORDS = {"true": True, "false": False, "none": None, "ellipsis": ...}


def expression(node: Node) -> ast.expr:
    """Return an expression."""
    convert = EXPRESSIONS.get(node.type)
    if convert is None:
        refuse(node, f"found {quoted(node)}, expected an expression")
    return lifted(convert(node))


def lifted(made: ast.expr) -> ast.expr:
    """Return `*f(x)` as the star of a call where the grammar has the call of a star."""
    field = FIRST.get(type(made))
    if field is None or not isinstance(star := getattr(made, field), ast.Starred):
        return made
    where = place_of(made)
    setattr(made, field, star.value)
    made.lineno, made.col_offset = star.value.lineno, star.value.col_offset
    return ast.Starred(made, ast.Load(), **where)


def expressions(nodes: list[Node]) -> list[ast.expr]:
    return [expression(node) for node in nodes]


def target(node: Node) -> ast.expr:
    """Return an expression that is assigned to."""
    return stored(expression(node), ast.Store)


def name(node: Node) -> ast.expr:
    return ast.Name(text_of(node), ast.Load(), **place(node))


def word(node: Node) -> ast.expr:
    return ast.Constant(WORDS[node.type], **place(node))


def number(node: Node) -> ast.expr:
    """Return a number, whose text shows its type."""
    text = text_of(node).replace("_", "").lower()
    value: complex
    try:
        if text.startswith(("0x", "0o", "0b")):
            value = int(text, 0)
        elif text.endswith("j"):
            value = complex(0, float(text[:-1]))
        else:
            value = float(text) if "." in text or "e" in text else int(text, 0)
    except ValueError as error:
        refuse(node, f"found the number {quoted(node)}, expected one of Python 3 ({error})")
    return ast.Constant(value, **place(node))


def string(node: Node) -> ast.expr:
    return converted_string(node, expression)


def inner(node: Node) -> ast.expr:
    """Return the only expression inside a node: of parentheses, or of an annotation."""
    found = parts_of(node)
    if len(found) != 1:
        refuse(node, f"found {quoted(node)}, expected one expression")
    return expression(found[0])


def several(node: Node) -> ast.expr:
    """Return a tuple, or the one expression of a pattern in parentheses."""
    found = parts_of(node)
    if node.type == "tuple_pattern" and len(found) == 1 and not has_token(node, ","):
        return expression(found[0])
    return ast.Tuple(expressions(found), ast.Load(), **place(node))


def listed(node: Node) -> ast.expr:
    return ast.List(expressions(parts_of(node)), ast.Load(), **place(node))


def set_of(node: Node) -> ast.expr:
    return ast.Set(expressions(parts_of(node)), **place(node))


def dictionary(node: Node) -> ast.expr:
    keys, values = list[ast.expr | None](), list[ast.expr]()
    for item in parts_of(node):
        is_pair = item.type == "pair"
        keys.append(expression(part(item, "key")) if is_pair else None)
        values.append(expression(part(item, "value")) if is_pair else expression(parts_of(item)[0]))
    return ast.Dict(keys, values, **place(node))


def starred(node: Node) -> ast.expr:
    return ast.Starred(expression(parts_of(node)[0]), ast.Load(), **place(node))


def unary(node: Node) -> ast.expr:
    operator = ast.Not() if node.type == "not_operator" else UNARY[part(node, "operator").type]()
    return ast.UnaryOp(operator, expression(part(node, "argument")), **place(node))


def binary(node: Node) -> ast.expr:
    operator = BINARY[part(node, "operator").type]()
    if isinstance(operator, ast.BitAnd | ast.BitXor):
        return ands_and_xors(node)
    return ast.BinOp(expression(part(node, "left")), operator, expression(part(node, "right")), **place(node))


def ands_and_xors(node: Node) -> ast.expr:
    """Return a chain of `&` and `^`. The grammar lets `^` bind more tightly, Python lets `&`."""
    groups: list[list[Node]] = [[]]
    waiting = [node]
    while waiting:
        each = waiting.pop()
        if each.type == "binary_operator" and part(each, "operator").type in "&^":
            waiting += [part(each, "right"), part(each, "operator"), part(each, "left")]
        elif each.type == "^":
            groups.append([])
        elif each.type != "&":
            groups[-1].append(each)
    ands = [chain([(operand, expression(operand)) for operand in group], ast.BitAnd) for group in groups]
    return chain([(group[-1], value) for group, value in zip(groups, ands, strict=True)], ast.BitXor)


def chain(operands: list[tuple[Node, ast.expr]], operator: type[ast.operator]) -> ast.expr:
    """Return operands, each with the node where it ends, joined by an operator from left to right."""
    (_, made), *others = operands
    for last, value in others:
        where = place_of(made) | {"end_lineno": last.end_point.row + 1, "end_col_offset": last.end_point.column}
        made = ast.BinOp(made, operator(), value, **where)
    return made


def union(node: Node) -> ast.expr:
    left, right = parts_of(node)
    return ast.BinOp(expression(left), ast.BitOr(), expression(right), **place(node))


def boolean(node: Node) -> ast.expr:
    """Return a chain of `and` or of `or` as one operation."""
    operator = part(node, "operator").type
    values, left = [part(node, "right")], part(node, "left")
    while left.type == "boolean_operator" and part(left, "operator").type == operator:
        values.append(part(left, "right"))
        left = part(left, "left")
    kind = ast.And() if operator == "and" else ast.Or()
    return ast.BoolOp(kind, expressions([left, *reversed(values)]), **place(node))


def comparison(node: Node) -> ast.expr:
    first, *others = expressions(parts_of(node))
    operators = []
    for operator in node.children_by_field_name("operators"):
        if operator.type not in COMPARED:
            refuse(operator, f"found {quoted(operator)}, an operator of Python 2, expected `!=`")
        operators.append(COMPARED[operator.type]())
    return ast.Compare(first, operators, others, **place(node))


def conditional(node: Node) -> ast.expr:
    body, test, other = expressions(parts_of(node))
    return ast.IfExp(test, body, other, **place(node))


def named(node: Node) -> ast.expr:
    assigned = ast.Name(text_of(part(node, "name")), ast.Store(), **place(part(node, "name")))
    return ast.NamedExpr(assigned, expression(part(node, "value")), **place(node))


def function(node: Node) -> ast.expr:
    """Return a lambda."""
    signature = node.child_by_field_name("parameters")
    return ast.Lambda(arguments(signature), expression(part(node, "body")), **place(node))


def awaited(node: Node) -> ast.expr:
    return ast.Await(inner(node), **place(node))


def yielded(node: Node) -> ast.expr:
    found = parts_of(node)
    if has_token(node, "from"):
        return ast.YieldFrom(inner(node), **place(node))
    return ast.Yield(expression(found[0]) if found else None, **place(node))


def attribute(node: Node) -> ast.expr:
    return ast.Attribute(expression(part(node, "object")), text_of(part(node, "attribute")), ast.Load(), **place(node))


def member(node: Node) -> ast.expr:
    """Return an attribute in an annotation."""
    holder, last = parts_of(node)
    return ast.Attribute(expression(holder), text_of(last), ast.Load(), **place(node))


def subscript(node: Node) -> ast.expr:
    value, found = part(node, "value"), node.children_by_field_name("subscript")
    return ast.Subscript(expression(value), index(found, has_token(node, ",")), ast.Load(), **place(node))


def generic(node: Node) -> ast.expr:
    """Return a subscript in an annotation."""
    value, parameters = parts_of(node)
    found = parts_of(parameters)
    return ast.Subscript(expression(value), index(found, has_token(parameters, ",")), ast.Load(), **place(node))


def index(found: list[Node], has_comma: bool) -> ast.expr:
    """Return what is between the brackets of a subscript."""
    values = expressions(found)
    if has_comma or isinstance(values[0], ast.Starred):
        return ast.Tuple(values, ast.Load(), **place(found[0], found[-1]))
    return values[0]


def slice_of(node: Node) -> ast.expr:
    bounds: list[ast.expr | None] = [None]
    for child in node.children:
        if child.type == ":":
            bounds.append(None)
        elif child.is_named and child.type != "comment":
            bounds[-1] = expression(child)
    return ast.Slice(*bounds, **place(node))


def call(node: Node) -> ast.expr:
    given = part(node, "arguments")
    if given.type == "generator_expression":
        return ast.Call(expression(part(node, "function")), [expression(given)], [], **place(node))
    positional, by_name = call_arguments(given)
    return ast.Call(expression(part(node, "function")), positional, by_name, **place(node))


def call_arguments(node: Node) -> tuple[list[ast.expr], list[ast.keyword]]:
    """Return the positional arguments and the keywords of a call or of a class."""
    positional, by_name = list[ast.expr](), list[ast.keyword]()
    for child in parts_of(node):
        if child.type == "keyword_argument":
            key = text_of(part(child, "name"))
            by_name.append(ast.keyword(key, expression(part(child, "value")), **place(child)))
        elif child.type == "dictionary_splat":
            by_name.append(ast.keyword(None, expression(parts_of(child)[0]), **place(child)))
        elif by_name and child.type != "list_splat":
            refuse(child, f"found the positional argument {quoted(child)} after one with a name, expected it before")
        else:
            positional.append(expression(child))
    return positional, by_name


def comprehension(node: Node) -> ast.expr:
    """Return a comprehension or a generator expression."""
    generators: list[ast.comprehension] = []
    for clause in parts_of(node)[1:]:
        if clause.type == "for_in_clause":
            iterated = expression(part(clause, "right"))
            assigned = target(part(clause, "left"))
            generators.append(ast.comprehension(assigned, iterated, [], is_async=int(has_token(clause, "async"))))
        else:
            generators[-1].ifs.append(inner(clause))
    body = part(node, "body")
    if node.type == "dictionary_comprehension":
        pair = expression(part(body, "key")), expression(part(body, "value"))
        return ast.DictComp(*pair, generators, **place(node))
    kinds: dict[str, Any] = {"list_comprehension": ast.ListComp, "set_comprehension": ast.SetComp}
    made: ast.expr = kinds.get(node.type, ast.GeneratorExp)(expression(body), generators, **place(node))
    return made


def arguments(node: Node | None) -> ast.arguments:
    """Return the parameters of a function."""
    found = ast.arguments([], [], None, [], [], None, [])
    by_name = False
    for child in [] if node is None else parts_of(node):
        if child.type == "positional_separator":
            found.posonlyargs, found.args = found.args, []
        elif child.type == "keyword_separator":
            by_name = True
        else:
            by_name = add_parameter(child, found, by_name=by_name)
    return found


def add_parameter(node: Node, found: ast.arguments, *, by_name: bool) -> bool:
    """Add a parameter to those found, and return whether those after it are given by name."""
    annotation, default = node.child_by_field_name("type"), node.child_by_field_name("value")
    value = None if default is None else expression(default)
    # The parameter is the node itself, its name, or before its type.
    declared = node.child_by_field_name("name") or (parts_of(node)[0] if node.type == "typed_parameter" else node)
    match declared.type:
        case "list_splat_pattern":
            found.vararg = parameter(parts_of(declared)[0], annotation)
            return True
        case "dictionary_splat_pattern":
            found.kwarg = parameter(parts_of(declared)[0], annotation)
        case "identifier" if by_name:
            found.kwonlyargs.append(parameter(declared, annotation))
            found.kw_defaults.append(value)
        case "identifier":
            found.args.append(parameter(declared, annotation))
            if value is not None:
                found.defaults.append(value)
            elif found.defaults:
                refuse(
                    node, f"found the parameter {quoted(node)} without a default after one with a default, expected one"
                )
        case _:
            refuse(node, f"found {quoted(node)}, expected a parameter")
    return by_name


def parameter(node: Node, annotation: Node | None) -> ast.arg:
    """Return one parameter."""
    return ast.arg(
        text_of(node), None if annotation is None else expression(annotation), **place(node, annotation or node)
    )


EXPRESSIONS: dict[str, Callable[[Node], ast.expr]] = {
    "identifier": name,
    "integer": number,
    "float": number,
    "string": string,
    "concatenated_string": string,
    "parenthesized_expression": inner,
    "type": inner,
    "tuple": several,
    "tuple_pattern": several,
    "pattern_list": several,
    "expression_list": several,
    "list": listed,
    "list_pattern": listed,
    "set": set_of,
    "dictionary": dictionary,
    "list_splat": starred,
    "list_splat_pattern": starred,
    "splat_type": starred,
    "not_operator": unary,
    "unary_operator": unary,
    "binary_operator": binary,
    "union_type": union,
    "boolean_operator": boolean,
    "comparison_operator": comparison,
    "conditional_expression": conditional,
    "named_expression": named,
    "lambda": function,
    "await": awaited,
    "yield": yielded,
    "attribute": attribute,
    "member_type": member,
    "subscript": subscript,
    "generic_type": generic,
    "slice": slice_of,
    "call": call,
    "list_comprehension": comprehension,
    "set_comprehension": comprehension,
    "dictionary_comprehension": comprehension,
    "generator_expression": comprehension,
    **dict.fromkeys(WORDS, word),
}
