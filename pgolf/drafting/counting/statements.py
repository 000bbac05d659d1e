"""Follows the statements of a model's constructor."""

import ast
from collections.abc import Sequence
from enum import Enum, auto
from typing import Any

from pgolf.drafting.counting.bindings import names_bound, names_imported, statements_of
from pgolf.drafting.counting.calls import CallReader
from pgolf.drafting.counting.certainty import UndecidedError, compared, items_of, truth
from pgolf.drafting.counting.changes import may_change_modules
from pgolf.drafting.counting.objects import OPAQUE, UNKNOWN, Frame, Object, Unknown

LEAVING = (ast.Return, ast.Break, ast.Continue, ast.AsyncFor, ast.AsyncWith)


class Exit(Enum):
    """How statements end."""

    NEXT = auto()
    BREAK = auto()
    CONTINUE = auto()
    RETURN = auto()


class CodeReader(CallReader):
    """Follows statements, calls and expressions.

    What is not followed is noted as a doubt, unless it surely adds and removes no learned tensor.
    """

    def run_body(self, body: Sequence[ast.stmt], frame: Frame) -> None:
        """Follow the statements of a function."""
        self.run(body, frame)

    def run(self, body: Sequence[ast.stmt], frame: Frame) -> Exit:
        """Follow statements and return how they end."""
        for statement in body:
            self.count_step()
            if (ended := self.run_one(statement, frame)) is not Exit.NEXT:
                return ended
        return Exit.NEXT

    def run_one(self, statement: ast.stmt, frame: Frame) -> Exit:
        match statement:
            case ast.Assign() | ast.AnnAssign() | ast.AugAssign():
                self.run_assignment(statement, frame)
            case ast.Expr(value=expression):
                self.value(expression, frame)
            case ast.If(test=test, body=body, orelse=other):
                decided = truth(self.value(test, frame))
                if decided is not None:
                    return self.run(body if decided else other, frame)
                self.skip(statement, frame)
            case ast.For() | ast.While():
                return self.run_loop(statement, frame)
            case ast.With(body=body):
                frame.names |= {name: UNKNOWN for name, _ in names_bound(statement)}
                return self.run(body, frame)
            case ast.Try():
                return self.run_try(statement, frame)
            case ast.Match(subject=subject, cases=cases):
                return self.run_match(statement, self.value(subject, frame), cases, frame)
            case _:
                return self.run_simple(statement, frame)
        return Exit.NEXT

    def run_simple(self, statement: ast.stmt, frame: Frame) -> Exit:
        """Follow a statement without statements inside."""
        match statement:
            case ast.Break():
                return Exit.BREAK
            case ast.Continue():
                return Exit.CONTINUE
            case ast.Return(value=value):
                frame.returned = None if value is None else self.value(value, frame)
                return Exit.RETURN
            case ast.Raise():
                self.note_unfollowed(statement, frame)  # no model is made
                return Exit.RETURN
            case ast.Delete(targets=targets):
                for target in targets:
                    self.delete(target, frame)
            case ast.FunctionDef() | ast.ClassDef() | ast.Import() | ast.ImportFrom():
                self.define(statement, frame)
            case ast.Global() | ast.Nonlocal():
                self.note_unfollowed(statement, frame)
            case ast.Assert() | ast.Pass():
                pass
            case _:
                self.skip(statement, frame)
        return Exit.NEXT

    def define(self, statement: ast.FunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom, frame: Frame) -> None:
        match statement:
            case ast.FunctionDef():
                frame.names[statement.name] = self.defined_function(statement, frame)
            case ast.ClassDef():
                frame.names[statement.name] = self.defined_class(statement, frame)
            case ast.Import() | ast.ImportFrom():
                frame.names |= {name: self.imported(alias.name) for name, alias in names_imported(statement)}

    def run_assignment(self, statement: ast.Assign | ast.AnnAssign | ast.AugAssign, frame: Frame) -> None:
        match statement:
            case ast.Assign(targets=targets, value=expression):
                value = self.value(expression, frame)
                for target in targets:
                    self.assign(target, value, frame)
            case ast.AnnAssign(target=target, value=ast.expr() as expression):
                self.assign(target, self.value(expression, frame), frame)
            case ast.AugAssign(target=target, op=op, value=expression):
                before, added = self.value(target, frame), self.value(expression, frame)
                if isinstance(before, list) and isinstance(added, list) and isinstance(op, ast.Add):
                    before += added
                else:
                    self.assign(target, self.binary(op, before, added), frame)

    def run_loop(self, loop: ast.For | ast.While, frame: Frame) -> Exit:
        """Follow a loop as often as it runs."""
        items: Sequence[Any] | None = None
        if isinstance(loop, ast.For):
            try:
                items = items_of(self.value(loop.iter, frame))
            except UndecidedError:
                self.skip(loop, frame)
                return Exit.NEXT
        index = 0
        while items is None or index < len(items):
            self.count_step()
            if isinstance(loop, ast.While):
                decided = truth(self.value(loop.test, frame))
                if decided is None:
                    self.skip(loop, frame)
                if not decided:
                    break
            elif items is not None:
                self.assign(loop.target, items[index], frame)
            index += 1
            match self.run(loop.body, frame):
                case Exit.RETURN:
                    return Exit.RETURN
                case Exit.BREAK:
                    return Exit.NEXT
        return self.run(loop.orelse, frame)

    def run_try(self, statement: ast.Try, frame: Frame) -> Exit:
        """Follow a `try` as if it raised nothing; what its handlers assign is unknown."""
        ended = self.run([*statement.body, *statement.orelse, *statement.finalbody], frame)
        for handler in statement.handlers:
            raising = all(isinstance(each, ast.Raise) for each in handler.body)
            if not raising:
                self.skip(ast.copy_location(ast.If(ast.Constant(True), handler.body, []), handler), frame)
        return ended

    def run_match(self, statement: ast.Match, subject: Any, cases: Sequence[ast.match_case], frame: Frame) -> Exit:
        """Follow the case that matches, among cases of constants."""
        for each in cases:
            decided = self.matches(each.pattern, subject, frame)
            if decided and each.guard is not None:
                decided = truth(self.value(each.guard, frame))
            if decided is None:
                self.skip(statement, frame)
                return Exit.NEXT
            if decided:
                return self.run(each.body, frame)
        return Exit.NEXT

    def matches(self, pattern: ast.pattern, subject: Any, frame: Frame) -> bool | None:
        """Return whether a value matches a pattern of constants; None if that is not known."""
        match pattern:
            case ast.MatchValue(value=expression):
                return truth(compared(ast.Eq(), subject, self.value(expression, frame)))
            case ast.MatchSingleton(value=value):
                return None if isinstance(subject, Unknown) else subject is value
            case ast.MatchOr(patterns=patterns):
                found = [self.matches(each, subject, frame) for each in patterns]
                return True if True in found else None if None in found else False
            case ast.MatchAs(pattern=None, name=name):
                if name is not None:
                    frame.names[name] = subject
                return True
        return None

    def delete(self, target: ast.expr, frame: Frame) -> None:
        match target:
            case ast.Name(id=name):
                frame.names.pop(name, None)
            case ast.Attribute(value=owner, attr=name) if isinstance(module := self.value(owner, frame), Object):
                module.attributes.pop(name, None)
            case _:
                self.note_unfollowed(target, frame)

    def skip(self, statement: ast.stmt, frame: Frame) -> None:
        """Leave out a statement of which it is not known whether, or how often, it runs."""
        inner = list(statements_of([statement], True))
        leaves = any(isinstance(each, LEAVING) for each, _ in inner) or isinstance(
            statement, ast.AsyncFor | ast.AsyncWith
        )
        if leaves or may_change_modules(statement):
            self.note_unfollowed(statement, frame)
        for each, _ in inner:
            for name, _ in names_bound(each):
                frame.names[name] = OPAQUE if leaves else UNKNOWN
            for target in getattr(each, "targets", [getattr(each, "target", None)]):
                if isinstance(target, ast.Attribute):
                    owner = self.value(target.value, frame)
                    if isinstance(owner, Object):
                        owner.attributes[target.attr] = UNKNOWN
