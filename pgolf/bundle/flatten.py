"""Joins modules into one: imports at the top, then all definitions in load order."""

import ast
from collections.abc import Iterator

from pgolf.errors import PgolfError

TRAINER_PREFIX = "trainer."


class FlattenError(PgolfError):
    """Modules cannot be joined because a name has two meanings."""


def load_order(trees: dict[str, ast.Module], root: str) -> list[str]:
    """Return the modules ordered so that each follows its top-level imports; lazily imported ones come last."""
    anywhere = {name: [*trainer_imports(ast.walk(tree))] for name, tree in trees.items()}
    ordered: list[str] = []
    waiting = [root]
    while waiting:
        append_with_imports(trees, waiting.pop(), ordered)
        waiting = [name for done in ordered for name in anywhere[done] if name not in ordered][:1]
    return ordered


def append_with_imports(trees: dict[str, ast.Module], name: str, ordered: list[str]) -> None:
    """Append a module to the list, preceded by its top-level imports."""
    if name in ordered:
        return
    for imported in trainer_imports(trees[name].body):
        append_with_imports(trees, imported, ordered)
    ordered.append(name)


def trainer_imports(nodes: "Iterator[ast.AST] | list[ast.stmt]") -> Iterator[str]:
    """Yield the trainer modules that the import statements among the nodes name."""
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(TRAINER_PREFIX):
            yield str(node.module)


def flatten(trees: dict[str, ast.Module], root: str) -> tuple[list[ast.stmt], list[ast.stmt]]:
    """Return the imports of other packages, and all other top-level statements in load order.

    Raises:
        FlattenError: a top-level name has two meanings.
    """
    imports: dict[str, ast.stmt] = {}
    body: list[ast.stmt] = []
    for name in load_order(trees, root):
        for statement in trees[name].body:
            if isinstance(statement, ast.Import | ast.ImportFrom):
                for bound, single in foreign_imports(statement):
                    if ast.dump(imports.setdefault(bound, single)) != ast.dump(single):
                        raise FlattenError(f"{name} and an earlier module import different things as {bound}")
            elif not is_main_guard(statement) and not is_docstring(statement):
                body.append(TrainerImportRemover().visit(statement))
    check_names(imports, body)
    return [imports[bound] for bound in sorted(imports)], body


def foreign_imports(statement: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, ast.stmt]]:
    """Yield each imported name that is not the trainer's, with a statement that imports it alone."""
    for alias in statement.names:
        bound = alias.asname or alias.name.partition(".")[0]
        if isinstance(statement, ast.Import):
            yield bound, ast.Import([alias])
        elif not (statement.module or "").startswith(TRAINER_PREFIX):
            yield bound, ast.ImportFrom(statement.module, [alias], 0)


class TrainerImportRemover(ast.NodeTransformer):
    """Removes imports of trainer modules from functions: in one file, their names are defined globally."""

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        return None if (node.module or "").startswith(TRAINER_PREFIX) else node


def is_main_guard(statement: ast.stmt) -> bool:
    """Return whether a statement is `if __name__ == "__main__"` or `if TYPE_CHECKING`."""
    if not isinstance(statement, ast.If):
        return False
    names = {node.id for node in ast.walk(statement.test) if isinstance(node, ast.Name)}
    return bool(names & {"__name__", "TYPE_CHECKING"})


def is_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def defined_names(statement: ast.stmt) -> set[str]:
    """Return the names that a top-level statement binds."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return {statement.name}
    if isinstance(statement, ast.Assign):
        return {n.id for target in statement.targets for n in ast.walk(target) if isinstance(n, ast.Name)}
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        return {statement.target.id}
    return set()


def check_names(imports: dict[str, ast.stmt], body: list[ast.stmt]) -> None:
    """Check that no top-level name is defined twice.

    Raises:
        FlattenError: one is; names it.
    """
    seen = set(imports)
    for statement in body:
        names = defined_names(statement)
        if twice := names & seen:
            raise FlattenError(
                f"{sorted(twice)[0]} is defined twice; top-level names must be unique across the trainer"
            )
        seen |= names
