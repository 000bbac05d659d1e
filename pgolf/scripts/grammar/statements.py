"""Converts statements.

Parameters of types are left out: `def f[T](x)` is read as `def f(x)`, and `type X[T] = Y` as `X = Y`.
"""

import ast
from collections.abc import Callable
from typing import Any

from tree_sitter import Node

from pgolf.scripts.grammar.expressions import BINARY, FIRST, arguments, call_arguments, expression, expressions, target
from pgolf.scripts.grammar.nodes import has_token, part, parts_of, place, quoted, refuse, stored, text_of
from pgolf.scripts.grammar.patterns import pattern

# What a name with attributes, brackets and calls after it begins with a part of.
BEGIN_WITH_A_NAME = ("type", "attribute", "subscript", "call", "member_type", "generic_type")
# What binds more closely than a shift, besides arithmetic.
OPERANDS = ("identifier", "attribute", "call", "subscript", "parenthesized_expression")
# Fields that newer interpreters add to these nodes.
DEFINED: dict[str, Any] = {"type_params": []} if "type_params" in ast.FunctionDef._fields else {}


def statements(nodes: list[Node]) -> list[ast.stmt]:
    """Return statements."""
    return [statement(node) for node in nodes]


def statement(node: Node) -> ast.stmt:
    """Return a statement."""
    convert = STATEMENTS.get(node.type)
    if convert is None:
        is_exec = node.type == "exec_statement"
        found = (
            "the exec statement of Python 2, expected a call" if is_exec else f"{quoted(node)}, expected a statement"
        )
        refuse(node, f"found {found}")
    return closed(convert(node))


def closed(made: ast.stmt) -> ast.stmt:
    """End a compound statement where its last statement ends; in the concrete tree, comments after it belong to it."""
    for field in ("finalbody", "orelse", "handlers", "body", "cases"):
        if parts := getattr(made, field, None):
            last = parts[-1].body[-1] if isinstance(parts[-1], ast.match_case) else parts[-1]
            made.end_lineno, made.end_col_offset = last.end_lineno, last.end_col_offset
            break
    return made


def body(node: Node, field: str = "body") -> list[ast.stmt]:
    """Return the statements of a block."""
    return block(part(node, field))


def block(node: Node) -> list[ast.stmt]:
    """Return the statements of a block, of which there is at least one."""
    found = parts_of(node)
    if not found:
        refuse(node, "found no statement in a block, expected one such as `pass`")
    return statements(found)


def alternative(node: Node) -> list[ast.stmt]:
    """Return the statements of an `else`."""
    found = node.child_by_field_name("alternative")
    return [] if found is None else body(found)


def evaluated(node: Node) -> ast.stmt:
    """Return an expression, an assignment, or a tuple without parentheses, as a statement."""
    found = parts_of(node)
    if len(found) > 1 or has_token(node, ","):
        return ast.Expr(ast.Tuple(expressions(found), ast.Load(), **place(node)), **place(node))
    if found[0].type in STATEMENTS:
        return statement(found[0])
    return ast.Expr(expression(found[0]), **place(node))


def shifted_print(node: Node) -> ast.stmt:
    """Return `print >> FILE, VALUES`, which Python 3 reads as a tuple that begins with a shift."""
    found = parts_of(node)
    if not found or found[0].type != "chevron" or parts_of(found[0])[0].type not in OPERANDS:
        refuse(node, "found the print statement of Python 2, expected a call")
    name = ast.Name("print", ast.Load(), **place(node.children[0]))
    operand = expression(parts_of(found[0])[0])
    shift = ast.BinOp(name, ast.RShift(), operand, **place(node.children[0], found[0]))
    if len(found) == 1 and not has_token(node, ","):
        return ast.Expr(shift, **place(node))
    return ast.Expr(ast.Tuple([shift, *expressions(found[1:])], ast.Load(), **place(node)), **place(node))


def assignment(node: Node) -> ast.stmt:
    """Return an assignment, an annotated one, or one to several targets."""
    left, right = part(node, "left"), node.child_by_field_name("right")
    annotation = node.child_by_field_name("type")
    if annotation is not None:
        value = None if right is None else expression(right)
        simple = int(left.type == "identifier")
        return ast.AnnAssign(
            target=single(left), annotation=expression(annotation), value=value, simple=simple, **place(node)
        )
    targets = [target(left)]
    while right is not None and right.type == "assignment":
        targets.append(target(part(right, "left")))
        right = right.child_by_field_name("right")
    if right is None:
        refuse(node, f"found no value in {quoted(node)}, expected one")
    return ast.Assign(targets, expression(right), **place(node))


def single(node: Node) -> Any:
    """Return an assigned expression that is no tuple or list."""
    found = target(node)
    if not isinstance(found, ast.Name | ast.Attribute | ast.Subscript):
        refuse(node, f"found an assignment to {quoted(node)}, expected one name, attribute or subscript")
    return found


def augmented(node: Node) -> ast.stmt:
    operator = BINARY[part(node, "operator").type.removesuffix("=")]()
    return ast.AugAssign(single(part(node, "left")), operator, expression(part(node, "right")), **place(node))


def type_alias(node: Node) -> ast.stmt:
    """Return `type X = Y` as an assignment, as is `type(x).y = z`, which the grammar takes for one of those."""
    left, right = part(node, "left"), expression(part(node, "right"))
    name, levels = left, 0
    while name.type in BEGIN_WITH_A_NAME:
        levels += name.type != "type"
        name = parts_of(name)[0]
    if name.type == "identifier":
        return ast.Assign([target(name)], right, **place(node))
    if levels == 0 or name.type not in ("parenthesized_expression", "tuple"):
        refuse(node, f"found {quoted(node)}, expected `type NAME = ...`")
    assigned = holder = target(left)
    for _ in range(levels - 1):
        holder = getattr(holder, FIRST[type(holder)])
    function = ast.Name("type", ast.Load(), **place(node.children[0]))
    called = ast.Call(function, expressions(parts_of(name)), [], **place(node.children[0], name))
    setattr(holder, FIRST[type(holder)], called)
    return ast.Assign([assigned], right, **place(node))


def returned(node: Node) -> ast.stmt:
    found = parts_of(node)
    return ast.Return(expression(found[0]) if found else None, **place(node))


def deleted(node: Node) -> ast.stmt:
    found = parts_of(node)
    if len(found) == 1 and found[0].type == "expression_list":
        found = parts_of(found[0])
    return ast.Delete([stored(each, ast.Del) for each in expressions(found)], **place(node))


def raised(node: Node) -> ast.stmt:
    cause = node.child_by_field_name("cause")
    found = [each for each in parts_of(node) if each != cause]
    if found and found[0].type == "expression_list":
        refuse(node, "found a raise statement of Python 2, expected `raise ERROR(...)`")
    return ast.Raise(
        expression(found[0]) if found else None, None if cause is None else expression(cause), **place(node)
    )


def asserted(node: Node) -> ast.stmt:
    test, *message = expressions(parts_of(node))
    return ast.Assert(test, message[0] if message else None, **place(node))


def scoped(node: Node) -> ast.stmt:
    """Return a `global` or `nonlocal` statement."""
    kind = ast.Global if node.type == "global_statement" else ast.Nonlocal
    return kind([text_of(each) for each in parts_of(node)], **place(node))


def empty(kind: Callable[..., ast.stmt]) -> Callable[[Node], ast.stmt]:
    """Return a conversion to a statement without parts."""
    return lambda node: kind(**place(node))


def imported(node: Node) -> ast.stmt:
    return ast.Import([alias(each) for each in node.children_by_field_name("name")], **place(node))


def imported_from(node: Node) -> ast.stmt:
    """Return an import of names, relative to `level` packages above if the module begins with dots."""
    names = [alias(each) for each in node.children_by_field_name("name")]
    names += [ast.alias("*", None, **place(each)) for each in parts_of(node) if each.type == "wildcard_import"]
    if node.type == "future_import_statement":
        return ast.ImportFrom("__future__", names, 0, **place(node))
    module = part(node, "module_name")
    if module.type == "dotted_name":
        return ast.ImportFrom(dotted(module), names, 0, **place(node))
    prefix, *name = parts_of(module)
    return ast.ImportFrom(dotted(name[0]) if name else None, names, text_of(prefix).count("."), **place(node))


def alias(node: Node) -> ast.alias:
    """Return an imported name."""
    if node.type == "aliased_import":
        return ast.alias(dotted(part(node, "name")), text_of(part(node, "alias")), **place(node))
    return ast.alias(dotted(node), None, **place(node))


def dotted(node: Node) -> str:
    return ".".join(map(text_of, parts_of(node)))


def condition(node: Node) -> ast.stmt:
    """Return an `if` statement; each `elif` is another one within the `else` of the one before."""
    orelse: list[ast.stmt] = []
    for clause in reversed(node.children_by_field_name("alternative")):
        if clause.type == "else_clause":
            orelse = body(clause)
        else:
            test = expression(part(clause, "condition"))
            where = place(clause, node)
            orelse = [closed(ast.If(test, body(clause, "consequence"), orelse, **where))]
    return ast.If(expression(part(node, "condition")), body(node, "consequence"), orelse, **place(node))


def loop_over(node: Node) -> ast.stmt:
    kind: Any = ast.AsyncFor if has_token(node, "async") else ast.For
    left, right = target(part(node, "left")), expression(part(node, "right"))
    made: ast.stmt = kind(left, right, body(node), alternative(node), **place(node))
    return made


def loop_while(node: Node) -> ast.stmt:
    return ast.While(expression(part(node, "condition")), body(node), alternative(node), **place(node))


def attempt(node: Node) -> ast.stmt:
    """Return a `try` statement."""
    handlers, orelse, final, is_star = list[ast.ExceptHandler](), list[ast.stmt](), list[ast.stmt](), False
    for clause in parts_of(node):
        match clause.type:
            case "except_clause":
                is_star |= has_token(clause, "*")
                handlers.append(handler(clause))
            case "else_clause":
                orelse = body(clause)
            case "finally_clause":
                final = block(parts_of(clause)[0])
    kind: Any = ast.TryStar if is_star else ast.Try
    made: ast.stmt = kind(body(node), handlers, orelse, final, **place(node))
    return made


def handler(node: Node) -> ast.ExceptHandler:
    """Return an `except`; several types without parentheses, as in Python 3.14, are a tuple."""
    found = node.children_by_field_name("value")
    name: str | None = None
    kind: ast.expr | None = None
    if len(found) > 1:
        kind = ast.Tuple(expressions(found), ast.Load(), **place(found[0], found[-1]))
    elif found and found[0].type == "as_pattern":
        value, name_node = parts_of(found[0])
        kind, name = expression(value), text_of(name_node)
    elif found:
        kind = expression(found[0])
    inside = block(parts_of(node)[-1])
    made = ast.ExceptHandler(kind, name, inside, **place(node))
    made.end_lineno, made.end_col_offset = inside[-1].end_lineno, inside[-1].end_col_offset
    return made


def context(node: Node) -> ast.stmt:
    """Return a `with` statement."""
    items = [item for each in parts_of(parts_of(node)[0]) for item in context_items(part(each, "value"))]
    kind: Any = ast.AsyncWith if has_token(node, "async") else ast.With
    made: ast.stmt = kind(items, body(node), **place(node))
    return made


def context_items(node: Node) -> list[ast.withitem]:
    """Return the context managers of an item; a tuple in parentheses without a name is several."""
    if node.type == "as_pattern":
        value, assigned = parts_of(node)
        return [ast.withitem(expression(value), target(parts_of(assigned)[0]))]
    if node.type == "parenthesized_expression" and parts_of(node)[0].type == "as_pattern":
        return context_items(parts_of(node)[0])
    if node.type == "tuple" and parts_of(node):
        return [item for each in parts_of(node) for item in context_items(each)]
    return [ast.withitem(expression(node), None)]


def matched(node: Node) -> ast.stmt:
    subjects = node.children_by_field_name("subject")
    subject = expression(subjects[0])
    if len(subjects) > 1 or has_token(node, ","):
        subject = ast.Tuple(expressions(subjects), ast.Load(), **place(subjects[0], subjects[-1]))
    return ast.Match(subject, [case(each) for each in parts_of(part(node, "body"))], **place(node))


def case(node: Node) -> ast.match_case:
    """Return a case of a `match` statement; several patterns without brackets are a sequence."""
    found = [each for each in parts_of(node) if each.type == "case_pattern"]
    guard = node.child_by_field_name("guard")
    read = pattern(found[0])
    if len(found) > 1 or has_token(node, ",") or isinstance(read, ast.MatchStar):
        read = ast.MatchSequence([pattern(each) for each in found], **place(found[0], found[-1]))
    test = None if guard is None else expression(parts_of(guard)[0])
    return ast.match_case(read, test, body(node, "consequence"))


def decorated(node: Node) -> ast.stmt:
    *decorators, definition = parts_of(node)
    found = statement(definition)
    if isinstance(found, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        found.decorator_list = [expression(parts_of(each)[0]) for each in decorators]
    return found


def function(node: Node) -> ast.stmt:
    kind: Any = ast.AsyncFunctionDef if has_token(node, "async") else ast.FunctionDef
    result = node.child_by_field_name("return_type")
    made: ast.stmt = kind(
        name=text_of(part(node, "name")),
        args=arguments(part(node, "parameters")),
        body=body(node),
        decorator_list=[],
        returns=None if result is None else expression(result),
        **DEFINED,
        **place(node),
    )
    return made


def class_of(node: Node) -> ast.stmt:
    above = node.child_by_field_name("superclasses")
    bases, keywords = ([], []) if above is None else call_arguments(above)
    name = text_of(part(node, "name"))
    return ast.ClassDef(name, bases, keywords, body(node), [], **DEFINED, **place(node))


STATEMENTS: dict[str, Callable[[Node], ast.stmt]] = {
    "expression_statement": evaluated,
    "print_statement": shifted_print,
    "assignment": assignment,
    "augmented_assignment": augmented,
    "type_alias_statement": type_alias,
    "return_statement": returned,
    "delete_statement": deleted,
    "raise_statement": raised,
    "assert_statement": asserted,
    "global_statement": scoped,
    "nonlocal_statement": scoped,
    "pass_statement": empty(ast.Pass),
    "break_statement": empty(ast.Break),
    "continue_statement": empty(ast.Continue),
    "import_statement": imported,
    "import_from_statement": imported_from,
    "future_import_statement": imported_from,
    "if_statement": condition,
    "for_statement": loop_over,
    "while_statement": loop_while,
    "try_statement": attempt,
    "with_statement": context,
    "match_statement": matched,
    "decorated_definition": decorated,
    "function_definition": function,
    "class_definition": class_of,
}
