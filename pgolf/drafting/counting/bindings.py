"""Finds the statements that give names their values in a module, a class or a function, without running it."""

import ast
from collections.abc import Iterator, Sequence

from pgolf.drafting.counting.objects import Binding

SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
Bindings = dict[str, list[Binding]]


def bindings_of(body: Sequence[ast.stmt], parameters: ast.arguments | None = None) -> Bindings:
    """Return the bindings of each name in a body; parameters are not followed."""
    found: Bindings = {}
    for argument in [] if parameters is None else all_parameters(parameters):
        found.setdefault(argument.arg, []).append(Binding(None, True))
    for statement, is_direct in statements_of(body, True):
        for name, node in names_bound(statement):
            found.setdefault(name, []).append(Binding(node, is_direct))
    return found


def all_parameters(parameters: ast.arguments) -> list[ast.arg]:
    """Return the parameters of a function, of all kinds."""
    starred = [each for each in (parameters.vararg, parameters.kwarg) if each is not None]
    return [*parameters.posonlyargs, *parameters.args, *parameters.kwonlyargs, *starred]


def statements_of(body: Sequence[ast.stmt], is_direct: bool) -> Iterator[tuple[ast.stmt, bool]]:
    """Yield the statements of a scope, and whether each is in no branch and no loop."""
    for statement in body:
        yield statement, is_direct
        if isinstance(statement, SCOPES):
            continue
        is_plain = isinstance(statement, ast.With) or is_main_guard(statement)
        for name in ("body", "orelse", "finalbody"):
            yield from statements_of(getattr(statement, name, []), is_direct and is_plain)
        for part in [*getattr(statement, "handlers", []), *getattr(statement, "cases", [])]:
            yield from statements_of(part.body, False)


def is_main_guard(statement: ast.stmt) -> bool:
    """Return whether a statement is `if __name__ == "__main__"`."""
    match statement:
        case ast.If(test=ast.Compare(left=ast.Name(id="__name__"))):
            return True
    return False


def names_bound(statement: ast.stmt) -> Iterator[tuple[str, ast.AST | None]]:
    """Yield the names that a statement binds, without those in its body, with the nodes of their values."""
    match statement:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            yield name, statement
        case ast.Import() | ast.ImportFrom():
            yield from names_imported(statement)
        case ast.Assign(targets=targets, value=value):
            for target in targets:
                yield from names_assigned(target, value)
        case ast.AnnAssign(target=target, value=ast.expr() as value):
            yield from names_assigned(target, value)
        case ast.AugAssign(target=target) | ast.For(target=target):
            yield from names_assigned(target, None)
        case ast.With(items=items):
            targets = [item.optional_vars for item in items if item.optional_vars is not None]
            yield from names_assigned(ast.Tuple(targets, ast.Store()), None)
        case ast.Global(names=names) | ast.Nonlocal(names=names):
            yield from ((name, None) for name in names)


def names_imported(statement: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, ast.alias]]:
    """Yield the names that an import binds, with the dotted names of what they stand for."""
    for alias in statement.names:
        if isinstance(statement, ast.ImportFrom):
            yield alias.asname or alias.name, ast.alias(f"{statement.module or ''}.{alias.name}")
        else:
            path = alias.name if alias.asname else alias.name.partition(".")[0]
            yield alias.asname or path, ast.alias(path)


def names_assigned(target: ast.expr, value: ast.expr | None) -> Iterator[tuple[str, ast.AST | None]]:
    """Yield the names in the target of an assignment, with the expressions of their values."""
    match target:
        case ast.Name(id=name):
            yield name, value
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            values: Sequence[ast.expr | None] = [None] * len(parts)
            if isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(parts):
                values = value.elts
            for part, each in zip(parts, values, strict=True):
                yield from names_assigned(part, each)


def outside_classes(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that are in no class."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, ast.ClassDef):
                yield child
                waiting.append(child)


def attributes_changed(tree: ast.AST) -> Iterator[str]:
    """Yield the attributes that code outside classes assigns, as in `args.num_layers = 7`."""
    for node in outside_classes(tree):
        match node:
            case ast.Attribute(attr=name, ctx=ast.Store() | ast.Del()):
                yield name
            case ast.Call(func=ast.Name(id="setattr"), args=[_, ast.Constant(value=str() as name), *_]):
                yield name


MUTATING = ("append", "extend", "insert", "pop", "remove", "clear", "update", "setdefault", "reverse", "sort")


def names_mutated(tree: ast.AST) -> Iterator[str]:
    """Yield the names whose lists or dictionaries a program changes in place."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=owner, attr=method)) if method in MUTATING:
                yield root_name(owner)
            case ast.Subscript(value=owner, ctx=ast.Store() | ast.Del()):
                yield root_name(owner)


def root_name(node: ast.expr) -> str:
    """Return the name with which a chain of attributes and members begins: `model` in `model.blocks[0].attn`."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""
