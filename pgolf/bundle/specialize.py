"""Removes from a module's syntax tree what a recipe cannot reach: other kinds of components, and quirks that are off.

A slot's `match` has a case for each kind, a union names each kind, and some code tests for a kind with isinstance. For
a given recipe the results are known. Checks of the recipe itself are removed too: it was checked when it was read.
"""

import ast
import types
import typing
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from pgolf.bundle.modules import is_false_segment_test, is_switch, tested_condition
from trainer.recipe.recipe import Recipe

# Functions that only a run launched by pgolf needs: its stop rule, comparing the hardware with the requested one,
# timing steps before the run, speeding up a CPU without changing results, the CPU limit of a container, and an
# artifact over the limit, which is scored as a reference.
LAUNCHED_ONLY = {
    "make_guard", "describe_hardware", "group_bytes", "keep_freed_memory", "time_steps", "cgroup_cores",
    "report_overruled_threads", "keep_over_limit",
}  # fmt: skip


def component_names() -> frozenset[str]:
    """Return the names of all dataclasses that a recipe may contain."""
    return frozenset(kind.__name__ for kind in dataclasses_of(Recipe, set()))


def dataclasses_of(annotation: Any, seen: set[Any]) -> Iterator[type]:
    """Yield the dataclasses in an annotation and, recursively, in their fields."""
    if is_dataclass(annotation) and isinstance(annotation, type):
        if annotation not in seen:
            seen.add(annotation)
            yield annotation
            for field in fields(annotation):
                yield from dataclasses_of(field.type, seen)
    elif typing.get_origin(annotation) is not None or isinstance(annotation, types.UnionType):
        for part in typing.get_args(annotation):
            yield from dataclasses_of(part, seen)


def constructed_components(trees: Iterable[ast.AST], components: frozenset[str]) -> set[str]:
    """Return the components that functions construct, independently of the recipe."""
    found = set()
    for tree in trees:
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef):
                calls = (node.func for node in ast.walk(function) if isinstance(node, ast.Call))
                found |= {name.id for name in calls if isinstance(name, ast.Name) and name.id in components}
    return found


class Specializer(ast.NodeTransformer):
    """Removes branches for unused components and folds the constants that result."""

    def __init__(self, components: frozenset[str], used: set[str]) -> None:
        self.components, self.unused = components, components - used
        self.used = used

    def visit_Match(self, node: ast.Match) -> ast.AST | None:
        node.cases = [case for case in node.cases if not self.is_unused_pattern(case.pattern)]
        self.generic_visit(node)
        return node if node.cases else None

    def visit_MatchOr(self, node: ast.MatchOr) -> ast.AST:
        """Remove the unused kinds of `A() | B()`."""
        node.patterns = [pattern for pattern in node.patterns if not self.is_unused_pattern(pattern)]
        self.generic_visit(node)
        return node.patterns[0] if len(node.patterns) == 1 else node

    def is_unused_pattern(self, pattern: ast.pattern) -> bool:
        match pattern:
            case ast.MatchClass(cls=ast.Name(id=name)):
                return name in self.unused
            case ast.MatchOr(patterns=patterns):
                return all(self.is_unused_pattern(each) for each in patterns)
        return False

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        match node:
            case ast.Call(func=ast.Name(id="isinstance"), args=[_, kinds]):
                names = {part.id for part in ast.walk(kinds) if isinstance(part, ast.Name)}
                if names and names <= self.unused:
                    return ast.copy_location(ast.Constant(False), node)
            case ast.Call(func=ast.Name(id=name)) if name in LAUNCHED_ONLY:
                return ast.copy_location(ast.Constant(None), node)
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        condition = tested_condition(node)
        if is_false_segment_test(node, self.used):
            return ast.copy_location(ast.Constant(False), node)
        return node if condition is None else ast.copy_location(ast.Constant(condition in self.used), node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        is_off = is_switch(node.attr) and node.attr not in self.used and isinstance(node.ctx, ast.Load)
        return ast.copy_location(ast.Constant(False), node) if is_off else node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        """Remove the unused members of a union; `A | None` with an unused A becomes `Literal[None]`."""
        if not isinstance(node.op, ast.BitOr):
            self.generic_visit(node)
            return node
        members = [m for m in union_members(node) if not (isinstance(m, ast.Name) and m.id in self.unused)]
        if len(members) == len(union_members(node)) or not members:
            self.generic_visit(node)
            return node
        if len(members) == 1 and isinstance(members[0], ast.Constant):
            members = [ast.Subscript(ast.Name("Literal", ast.Load()), members[0], ast.Load())]
        union = members[0]
        for member in members[1:]:
            union = ast.BinOp(union, ast.BitOr(), member)
        return ast.copy_location(union, node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.op, ast.Not) and isinstance(node.operand, ast.Constant):
            return ast.copy_location(ast.Constant(not node.operand.value), node)
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        self.generic_visit(node)
        decides = isinstance(node.op, ast.Or)
        values = [value for value in node.values if not is_constant(value, not decides)]
        settled = [position for position, value in enumerate(values) if is_constant(value, decides)]
        if settled and all(is_pure(value) for value in values[: settled[0]]):
            return ast.copy_location(ast.Constant(decides), node)
        if not values:
            return ast.copy_location(ast.Constant(not decides), node)
        node.values = values
        return values[0] if len(values) == 1 else node

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.test, ast.Constant):
            return node.body if node.test.value else node.orelse
        return node

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt] | None:
        self.generic_visit(node)
        if isinstance(node.test, ast.Constant):
            return (node.body if node.test.value else node.orelse) or None
        if not node.body:
            node.body = [ast.Pass()]
        return node

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        """Replace `Annotated[T, ...]` by T: the bounds of a recipe's values were checked when it was read."""
        self.generic_visit(node)
        match node:
            case ast.Subscript(value=ast.Name(id="Annotated"), slice=ast.Tuple(elts=[kind, *_])):
                return kind
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        """Remove a component's `__post_init__`, which only checks its values."""
        if node.name in self.components:
            node.body = [part for part in node.body if not is_check(part)] or [ast.Pass()]
        self.generic_visit(node)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self.visit_block(node)

    def visit_match_case(self, node: ast.match_case) -> ast.AST:
        return self.visit_block(node)

    def visit_For(self, node: ast.For) -> ast.AST:
        return self.visit_block(node)

    def visit_With(self, node: ast.With) -> ast.AST:
        return self.visit_block(node)

    def visit_block(self, node: ast.FunctionDef | ast.match_case | ast.For | ast.With) -> ast.AST:
        """Keep a block from becoming empty."""
        self.generic_visit(node)
        node.body = node.body or [ast.Pass()]
        return node


def is_pure(node: ast.expr) -> bool:
    """Return whether an expression calls nothing but isinstance, so that it can be dropped."""
    calls = [part.func for part in ast.walk(node) if isinstance(part, ast.Call)]
    return all(isinstance(called, ast.Name) and called.id == "isinstance" for called in calls)


def is_check(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.FunctionDef) and statement.name == "__post_init__"


def is_constant(node: ast.expr, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def union_members(node: ast.expr) -> list[ast.expr]:
    """Return the members of `A | B | C`."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return [*union_members(node.left), *union_members(node.right)]
    return [node]
