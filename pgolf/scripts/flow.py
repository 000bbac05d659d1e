"""Which expressions of a script are surely evaluated when it runs, and which only may be.

Followed are straight lines: the statements of the module and of its classes, `with` and `try` bodies, the block under
`if __name__ == "__main__"`, and functions of the module where such a line calls them. A body ends where it may return.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
# Catching one of these, or everything, hides the error of an expression in a `try` body.
CATCH_ALL = frozenset({"Exception", "BaseException"})


@dataclass(slots=True)
class Flow:
    """The order in which a module's expressions are surely evaluated."""

    tree: ast.Module
    functions: dict[str, ast.FunctionDef] = field(init=False)
    """Functions of the module that are defined once."""
    certain: dict[int, ast.AST] = field(init=False, default_factory=dict)
    """Nodes that are surely evaluated, by id, in order."""
    handlers: dict[int, list[ast.ExceptHandler]] = field(init=False, default_factory=dict)
    """Of each node in a `try` body, the handlers around it."""
    entered: set[str] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        defined = [node for node in self.tree.body if isinstance(node, ast.FunctionDef)]
        names = [node.name for node in defined]
        self.functions = {node.name: node for node in defined if names.count(node.name) == 1}
        self.record_handlers()
        self.follow(self.tree.body)

    def is_certain(self, node: ast.AST) -> bool:
        """Return whether a node is surely evaluated."""
        return id(node) in self.certain

    def is_caught(self, node: ast.AST, error: str) -> bool:
        """Return whether an error that a node raises is caught around it."""
        return any(catches(handler, error) for handler in self.handlers.get(id(node), []))

    def record_handlers(self) -> None:
        """Record the handlers around each node."""
        waiting: list[tuple[ast.AST, list[ast.ExceptHandler]]] = [(self.tree, [])]
        while waiting:
            node, around = waiting.pop()
            self.handlers[id(node)] = around
            guarded = {id(each) for each in node.body} if isinstance(node, ast.Try) else set()
            for child in ast.iter_child_nodes(node):
                inner = [*around, *node.handlers] if isinstance(node, ast.Try) and id(child) in guarded else around
                waiting.append((child, [] if isinstance(child, SCOPES) else inner))

    def follow(self, body: list[ast.stmt]) -> bool:
        """Record what a body surely evaluates; return whether its end is surely reached."""
        return all(self.follow_statement(statement) for statement in body)

    def follow_statement(self, statement: ast.stmt) -> bool:
        """Record what a statement surely evaluates; return whether the next one is surely reached."""
        self.certain[id(statement)] = statement
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                given = [*statement.decorator_list, *statement.args.defaults, *statement.args.kw_defaults]
                self.record_all(each for each in given if each is not None)
                return True
            case ast.ClassDef():
                self.record_all(statement.decorator_list)
                return self.follow(statement.body)
            case ast.If() if is_main_guard(statement.test):
                return self.follow(statement.body)
            case ast.With() | ast.AsyncWith():
                self.record_all(item.context_expr for item in statement.items)
                return self.follow(statement.body)
            case ast.Try():
                return self.follow(statement.body) and not may_leave(statement)
            case ast.If() | ast.While():
                self.record(statement.test)
            case ast.For() | ast.AsyncFor():
                self.record(statement.iter)
            case ast.Match():
                self.record(statement.subject)
            case _:
                self.record_all(each for each in ast.iter_child_nodes(statement) if isinstance(each, ast.expr))
        return not may_leave(statement)

    def record_all(self, expressions: Iterator[ast.expr] | list[ast.expr]) -> None:
        """Record several expressions."""
        for expression in expressions:
            self.record(expression)

    def record(self, expression: ast.expr) -> None:
        """Record an expression with the parts that are surely evaluated with it, and follow the functions it calls."""
        waiting: list[ast.AST] = [expression]
        while waiting:
            node = waiting.pop()
            self.certain[id(node)] = node
            waiting += reversed(certain_parts(node))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                self.enter(node.func.id)

    def enter(self, name: str) -> None:
        """Follow a function of the module, once."""
        function = self.functions.get(name)
        if function is None or name in self.entered or is_generator(function):
            return
        self.entered.add(name)
        self.follow(function.body)


def certain_parts(node: ast.AST) -> list[ast.AST]:
    """Return the parts of an expression that are evaluated whenever it is."""
    match node:
        case ast.Lambda():
            return []
        case ast.IfExp():
            return [node.test]
        case ast.BoolOp():
            return [node.values[0]]
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            return [node.generators[0].iter]
    return list(ast.iter_child_nodes(node))


def is_generator(function: ast.FunctionDef) -> bool:
    """Return whether a call of a function evaluates nothing of its body."""
    return any(isinstance(node, ast.Yield | ast.YieldFrom) for node in within_scope(function))


def is_main_guard(test: ast.expr) -> bool:
    """Return whether a test is `__name__ == "__main__"`."""
    return ast.unparse(test).replace('"', "'") in ("__name__ == '__main__'", "'__main__' == __name__")


def may_leave(statement: ast.stmt) -> bool:
    """Return whether a statement may end the body it is in without an error."""
    return any(is_exit(node) for node in within_scope(statement))


def is_exit(node: ast.AST) -> bool:
    """Return whether a node returns, or leaves the program or the loop around it."""
    if isinstance(node, ast.Return | ast.Break | ast.Continue):
        return True
    if isinstance(node, ast.Raise):
        return node.exc is not None and ast.unparse(node.exc).startswith("SystemExit")
    return isinstance(node, ast.Call) and ast.unparse(node.func) in ("exit", "quit", "sys.exit", "os._exit")


def within_scope(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a node and those below it, without the bodies of functions inside."""
    waiting = [node]
    while waiting:
        inside = waiting.pop()
        yield inside
        waiting += [child for child in ast.iter_child_nodes(inside) if not isinstance(child, SCOPES)]


def catches(handler: ast.ExceptHandler, error: str) -> bool:
    """Return whether a handler catches an error, by its name."""
    if handler.type is None:
        return True
    named = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(ast.unparse(each).rpartition(".")[2] in CATCH_ALL | {error} for each in named)
