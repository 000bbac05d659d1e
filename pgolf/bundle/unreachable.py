"""Removes unused definitions and imports.

A definition is used if used code contains its name; a method, if used code has its name after a dot or as a string.
Only names are compared, so an unused definition may stay, but a used one is never removed.
"""

import ast
from collections.abc import Iterable

from pgolf.bundle.flatten import defined_names

# Methods that torch calls; dunder methods, which Python calls, are recognized by their names.
CALLED_BY_TORCH = frozenset({"forward"})


def without_annotations(body: list[ast.stmt]) -> list[ast.stmt]:
    """Remove annotations of functions, which are not used at run time; dataclass fields keep theirs."""
    return [AnnotationRemover().visit(statement) for statement in body]


def without_field_types(body: list[ast.stmt]) -> list[ast.stmt]:
    """Replace the types of dataclass fields by 0: only decoding reads them, and a bundle decodes no recipe."""
    for statement in body:
        for part in statement.body if isinstance(statement, ast.ClassDef) else ():
            if isinstance(part, ast.AnnAssign) and "ClassVar" not in ast.unparse(part.annotation):
                part.annotation = ast.Constant(0)
    return body


class AnnotationRemover(ast.NodeTransformer):
    """Removes annotations of functions and their local names, and what only pydantic reads in dataclasses."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        arguments = node.args
        for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg):
            if each is not None:
                each.annotation = None
        self.generic_visit(node)
        node.body = [plain_assignment(statement) for statement in node.body if not is_bare_annotation(statement)]
        node.body = node.body or [ast.Pass()]
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.body = [part for part in node.body if not is_for_pydantic(part)]
        self.generic_visit(node)
        node.body = node.body or [ast.Pass()]
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Name) and node.value.func.id == "field":
            node.value = plain_default(node.value)
        return node


def plain_default(call: ast.Call) -> ast.expr | None:
    """Return what a call of `field` without metadata says: nothing, its default, or the call if there is more to it."""
    call.keywords = [keyword for keyword in call.keywords if keyword.arg != "metadata"]
    if not call.keywords:
        return None
    return call.keywords[0].value if [keyword.arg for keyword in call.keywords] == ["default"] else call


def is_bare_annotation(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.AnnAssign) and statement.value is None


def plain_assignment(statement: ast.stmt) -> ast.stmt:
    if isinstance(statement, ast.AnnAssign) and statement.value is not None:
        return ast.copy_location(ast.Assign([statement.target], statement.value), statement)
    return statement


def is_for_pydantic(statement: ast.stmt) -> bool:
    """Return whether a statement of a class body is used by pydantic alone."""
    names = defined_names(statement)
    is_schema = isinstance(statement, ast.FunctionDef) and statement.name == "__get_pydantic_core_schema__"
    return is_schema or "__pydantic_config__" in names


def reachable_statements(body: list[ast.stmt], roots: Iterable[str]) -> list[ast.stmt]:
    """Return the statements that the roots need, with unused methods removed from their classes."""
    while True:
        kept = statements_used_by(body, set(roots))
        if not drop_methods(kept) and len(kept) == len(body):
            return kept
        body = kept


def used_imports(imports: list[ast.stmt], body: list[ast.stmt]) -> list[ast.stmt]:
    """Return the imports whose names the statements read: annotations, which are removed, needed the others."""
    read = set().union(*map(names_read, body))
    return [statement for statement in imports if read & names_bound(statement)]


def names_bound(statement: ast.stmt) -> set[str]:
    """Return the names that an import binds."""
    assert isinstance(statement, ast.Import | ast.ImportFrom)
    return {alias.asname or alias.name.partition(".")[0] for alias in statement.names}


def statements_used_by(body: list[ast.stmt], roots: set[str]) -> list[ast.stmt]:
    """Return the statements that define a root or, recursively, a name that such a statement uses."""
    defining = {name: statement for statement in body for name in defined_names(statement)}
    found: set[int] = {id(statement) for statement in body if not defined_names(statement)}
    waiting = [defining[name] for name in roots] + [s for s in body if id(s) in found]
    while waiting:
        statement = waiting.pop()
        found.add(id(statement))
        for name in names_read(statement):
            needed = defining.get(name)
            if needed is not None and id(needed) not in found:
                found.add(id(needed))
                waiting.append(needed)
    return [statement for statement in body if id(statement) in found]


def names_read(node: ast.AST) -> set[str]:
    """Return the names in a statement."""
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def drop_methods(body: list[ast.stmt]) -> bool:
    """Remove methods and properties that are called nowhere, and return whether there were any."""
    own = {statement.name for statement in body if isinstance(statement, ast.ClassDef)}
    droppable = {
        id(part): part
        for statement in body
        if isinstance(statement, ast.ClassDef) and all(is_known_base(base, own) for base in statement.bases)
        for part in statement.body
        if isinstance(part, ast.FunctionDef) and not is_called_by_python(part.name)
    }
    unused = uncalled_methods(body, droppable)
    for statement in body:
        if isinstance(statement, ast.ClassDef):
            statement.body = [part for part in statement.body if id(part) not in unused] or [ast.Pass()]
    return bool(unused)


def uncalled_methods(body: list[ast.stmt], methods: dict[int, ast.FunctionDef]) -> set[int]:
    """Return which of the methods no other code calls, directly or through methods that are called."""
    waiting: list[ast.AST] = list(body)
    called: set[str] = set()
    uncalled = dict(methods)
    while waiting:
        node = waiting.pop()
        if id(node) in uncalled and uncalled[id(node)].name not in called:
            continue
        uncalled.pop(id(node), None)
        waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.Attribute):
            name = node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            name = node.value
        else:
            continue
        if name not in called:
            called.add(name)
            waiting += [method for method in uncalled.values() if method.name == name]
    return set(uncalled)


def is_known_base(base: ast.expr, own: set[str]) -> bool:
    """Return whether a base class calls no methods of its subclasses beyond those that are always kept."""
    text = ast.unparse(base)
    return text in own or text in ("nn.Module", "Protocol", "Exception", "ValueError")


def is_called_by_python(name: str) -> bool:
    """Return whether Python or torch calls methods of this name."""
    return name in CALLED_BY_TORCH or (name.startswith("__") and name.endswith("__"))
