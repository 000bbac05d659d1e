"""A program as a call graph, and which of its statements a run reaches."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from pgolf.audit.code.source import SourceFile
from pgolf.scripts.settings import UNKNOWN, Settings

Function = ast.FunctionDef | ast.AsyncFunctionDef
# Methods of built-in types; a call of one is rarely a call of a script's own method.
COMMON_METHODS = {
    "append", "add", "update", "get", "pop", "copy", "write", "read", "close", "items", "keys", "values", "clear",
    "index", "count", "sort", "join", "split", "format", "encode", "decode", "strip", "remove", "insert", "extend",
}  # fmt: skip
Loop = ast.For | ast.While | ast.AsyncFor


@dataclass(frozen=True, slots=True)
class Reach:
    """How a run reaches a place: by default, behind a condition that is false by default, or never."""

    state: Literal["on", "off", "dead"]
    why: str = ""
    """The condition that is false by default, for `off`."""


@dataclass(eq=False)
class Scope:
    """A function, or the top level of a module."""

    name: str
    node: Function | ast.Module
    file: SourceFile
    owner: str | None = None
    """The class of a method."""

    @property
    def body(self) -> list[ast.stmt]:
        return self.node.body

    @property
    def parameters(self) -> list[str]:
        """Names of the parameters, without self or cls."""
        if isinstance(self.node, ast.Module):
            return []
        arguments = self.node.args
        names = [each.arg for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
        return names[1:] if names[:1] in (["self"], ["cls"]) else names

    @cached_property
    def locals(self) -> set[str]:
        """Names of its parameters and of its own variables."""
        stored = (node for node in self.nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))
        shared = (node.names for node in self.nodes if isinstance(node, ast.Global | ast.Nonlocal))
        return {*self.parameters, *(node.id for node in stored)} - {name for names in shared for name in names}

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """Its nodes in the order of the text, without those inside nested functions."""
        found: list[ast.AST] = []
        stack: list[ast.AST] = list(reversed(self.body))
        while stack:
            node = stack.pop()
            found.append(node)
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                stack.extend(reversed(list(ast.iter_child_nodes(node))))
        return found


@dataclass(slots=True)
class Program:
    """All files of a folder as one program."""

    files: list[SourceFile]
    settings: Settings
    scopes: list[Scope] = field(default_factory=list)
    by_name: dict[str, list[Scope]] = field(default_factory=lambda: defaultdict(list))
    classes: dict[str, list[Scope]] = field(default_factory=lambda: defaultdict(list))
    on: set[int] = field(default_factory=set)
    """ids of the statements that a run reaches by default."""
    off: dict[int, str] = field(default_factory=dict)
    """Conditions that are false by default, by the ids of the statements behind them."""
    parents: dict[int, ast.AST] = field(default_factory=dict)
    scope_at: dict[int, Scope] = field(default_factory=dict)
    """Scopes by the ids of their nodes."""
    aliases: dict[str, list[Scope]] = field(default_factory=dict)
    """Nested functions by the names to which calls of their makers are assigned."""
    calls: dict[str, list[ast.Call]] = field(default_factory=lambda: defaultdict(list))
    """Calls by the last name of the callee."""

    def __post_init__(self) -> None:
        for file in self.files:
            self.scopes.append(Scope("", file.tree, file))
            self.collect_functions(file.tree, file, None)
        self.scope_at = {id(scope.node): scope for scope in self.scopes}
        for file in self.files:
            for node in ast.walk(file.tree):
                self.parents.update((id(child), node) for child in ast.iter_child_nodes(node))
                if isinstance(node, ast.Call):
                    self.calls[call_name(node)].append(node)
        self.collect_aliases()
        self.find_reached()

    def collect_functions(self, node: ast.AST, file: SourceFile, owner: str | None) -> None:
        """Add a scope for each function below a node."""
        for child in ast.iter_child_nodes(node):
            if isinstance(child, Function):
                scope = Scope(child.name, child, file, owner)
                self.scopes.append(scope)
                self.by_name[child.name].append(scope)
                if owner is not None:
                    self.classes[owner].append(scope)
                self.collect_functions(child, file, None)
            else:
                self.collect_functions(child, file, child.name if isinstance(child, ast.ClassDef) else owner)

    def called(self, node: ast.Call) -> list[Scope]:
        """Return the functions that a call may mean, by name and regardless of the object."""
        if isinstance(node.func, ast.Call):
            return [made for maker in self.called(node.func) for made in self.functions_made_by(maker)]
        name = call_name(node)
        if (
            name in COMMON_METHODS
            and isinstance(node.func, ast.Attribute)
            and not is_self_or_attribute(node.func.value)
        ):
            return []
        if name in self.classes:
            return self.classes[name]
        return self.by_name.get(name, []) or self.aliases.get(name, [])

    def functions_made_by(self, maker: Scope) -> list[Scope]:
        """Return the nested functions that a function returns by name."""
        returned = {
            part.id
            for node in maker.nodes
            if isinstance(node, ast.Return) and node.value is not None
            for part in (node.value.elts if isinstance(node.value, ast.Tuple) else [node.value])
            if isinstance(part, ast.Name)
        }
        inner = {id(node) for node in maker.nodes if isinstance(node, Function)}
        return [scope for name in returned for scope in self.by_name.get(name, []) if id(scope.node) in inner]

    def collect_aliases(self) -> None:
        """Record the names to which the result of a function maker is assigned."""
        for scope in self.scopes:
            for node in scope.nodes:
                if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
                    made = [each for maker in self.called(node.value) for each in self.functions_made_by(maker)]
                    for part in (part for target in node.targets for part in ast.walk(target) if made):
                        if isinstance(part, ast.Name):
                            self.aliases[part.id] = made

    def find_reached(self) -> None:
        """Find the statements that a run reaches by default, then those behind each condition that is false."""
        roots = [scope for scope in self.scopes if isinstance(scope.node, ast.Module) and self.is_loaded(scope.file)]
        ReachSearch(self, self.on, self.off).run(roots)
        nodes = {id(node): node for scope in self.scopes for node in scope.nodes}
        closed = dict(self.off)
        while closed:
            statement, why = closed.popitem()
            reached: set[int] = set()
            further: dict[int, str] = {}
            search = ReachSearch(self, reached, further, skipped=(self.on | self.off.keys()) - {statement})
            search.child(nodes[statement])
            search.run([])
            new = {each: reason for each, reason in further.items() if each not in self.off and each not in self.on}
            closed |= new
            self.off |= new
            self.off |= {each: why for each in reached if each not in self.off}

    def is_loaded(self, file: SourceFile) -> bool:
        """Return whether a file is the main file or is imported by another one."""
        if file.is_main:
            return True
        return any(imports(other.tree, file.module) for other in self.files if other is not file)

    def reach(self, node: ast.AST) -> Reach:
        """Return whether a run reaches a node."""
        inside: ast.AST | None = node
        while inside is not None:
            if id(inside) in self.on:
                return Reach("on")
            if id(inside) in self.off:
                return Reach("off", self.off[id(inside)])
            if isinstance(inside, ast.stmt) and not isinstance(inside, Function | ast.ClassDef):
                break
            inside = self.parents.get(id(inside))
        return Reach("dead")

    def enclosing(self, node: ast.AST) -> Iterator[ast.AST]:
        """Yield the nodes around a node, innermost first, up to its function."""
        inside = self.parents.get(id(node))
        while inside is not None and not isinstance(inside, Function | ast.Module):
            yield inside
            inside = self.parents.get(id(inside))

    def scope_of(self, node: ast.AST) -> Scope:
        """Return the function or top level that contains a node."""
        inside = self.parents[id(node)]
        while id(inside) not in self.scope_at:
            inside = self.parents[id(inside)]
        return self.scope_at[id(inside)]

    def calls_of(self, scope: Scope) -> list[ast.Call]:
        """Return the calls that may mean a function."""
        if isinstance(scope.node, ast.Module):
            return []
        name = scope.owner if scope.owner is not None and scope.name == "__init__" else scope.name
        named = [alias for alias, made in self.aliases.items() if scope in made]
        direct = [call for call in self.calls.get("", []) if scope in self.called(call)]
        of_name = (call for each in (name, *named) for call in self.calls.get(each, []))
        return [call for call in of_name if scope in self.called(call)] + direct


@dataclass(slots=True)
class ReachSearch:
    """A search for the statements that run, from some scopes on."""

    program: Program
    on: set[int]
    off: dict[int, str]
    skipped: set[int] = field(default_factory=set)
    pending: list[Scope] = field(default_factory=list)
    visited: set[int] = field(default_factory=set)

    def run(self, scopes: list[Scope]) -> None:
        """Search some scopes and everything that they call."""
        self.pending += scopes
        while self.pending:
            scope = self.pending.pop()
            if id(scope) not in self.visited:
                self.visited.add(id(scope))
                self.statements(scope.body)

    def statements(self, body: list[ast.stmt]) -> None:
        """Search statements up to one that always returns or raises."""
        closed = ""
        for statement in body:
            if closed:
                self.off.setdefault(id(statement), closed)
                continue
            self.statement(statement)
            if isinstance(statement, ast.Return | ast.Raise):
                closed = "after a return"
            elif isinstance(statement, ast.If) and self.always_leaves(statement):
                closed = f"not ({ast.unparse(statement.test)})"

    def always_leaves(self, statement: ast.If) -> bool:
        """Return whether an `if` is true by default and ends by returning or raising."""
        value = self.program.settings.value(statement.test)
        return value is not UNKNOWN and bool(value) and isinstance(statement.body[-1], ast.Return | ast.Raise)

    def statement(self, statement: ast.stmt) -> None:
        """Search a statement, without the branches whose condition is false by default."""
        if id(statement) in self.skipped:
            return
        self.on.add(id(statement))
        match statement:
            case ast.If():
                self.expression(statement.test)
                value = self.program.settings.value(statement.test)
                test = ast.unparse(statement.test)[:80]
                self.branch(statement.body, value is UNKNOWN or bool(value), test)
                self.branch(statement.orelse, value is UNKNOWN or not value, f"not ({test})")
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                for decorator in statement.decorator_list:
                    self.expression(decorator)
            case _:
                for child in ast.iter_child_nodes(statement):
                    self.child(child)

    def child(self, child: ast.AST) -> None:
        if isinstance(child, ast.stmt):
            self.statement(child)
        elif isinstance(child, ast.ExceptHandler | ast.match_case):
            for inner in ast.iter_child_nodes(child):
                self.child(inner)
        else:
            self.expression(child)

    def branch(self, body: list[ast.stmt], is_open: bool, why: str) -> None:
        if is_open:
            self.statements(body)
            return
        for statement in body:
            self.off.setdefault(id(statement), why)

    def expression(self, node: ast.AST) -> None:
        """Add the functions that an expression names to the pending scopes."""
        for part in ast.walk(node):
            if isinstance(part, ast.Call):
                self.pending += self.program.called(part)
            if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load):
                self.pending += [s for s in self.program.by_name.get(part.id, []) if s.owner is None]
                self.pending += self.program.classes.get(part.id, []) if part.id in self.program.classes else []
            elif isinstance(part, ast.Attribute) and isinstance(part.ctx, ast.Load):
                self.pending += self.program.by_name.get(part.attr, [])


def is_self_or_attribute(node: ast.expr) -> bool:
    """Return whether an expression is `self` or starts from it."""
    return "self" in ast.unparse(node)[:5]


def call_name(node: ast.Call) -> str:
    """Return the last name of the callee; empty where it has none."""
    if isinstance(node.func, ast.Name):
        return node.func.id
    return node.func.attr if isinstance(node.func, ast.Attribute) else ""


def imports(tree: ast.Module, module: str) -> bool:
    """Return whether a file imports a module of its folder."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and any(alias.name.split(".")[-1] == module for alias in node.names):
            return True
        if isinstance(node, ast.ImportFrom) and (
            (node.module or "").split(".")[-1] == module or any(alias.name == module for alias in node.names)
        ):
            return True
    return False
