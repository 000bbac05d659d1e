"""Where validation and training text goes in a program: by names, assignments, calls and attributes.

This follows names, not values. It is meant to say which lines to read.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from pgolf.audit.code.program import Program, Scope, call_name

Kind = Literal["validation", "training"]
TEXT = (
    r"(tok|tokens?|data|dataset|stream|ids|seqs?|sequences?|toks|shards?|files?|loader|iter|paths?|glob|pattern|text|docs?"
    r"|np|corpus|batch|chunk)"
)
END = r"(_(np|cpu|gpu|all|full|local|flat|i64|t|tensor|u16|dev|list))?\d*$"
SOURCES: dict[Kind, re.Pattern[str]] = {
    "validation": re.compile(
        rf"(^|_)(val|valid|validation|heldout|eval|test)_?{TEXT}s?{END}|^val$|^(x|y)_?val$|^val_(x|y|in|tgt)$"
    ),
    "training": re.compile(rf"(^|_)(train|training)_?{TEXT}s?{END}|^(x|y)_?train$|^train_(x|y)$"),
}
# Names that hold no text, whatever a call was given that made them.
HOLDERS = re.compile(
    r"model|^net$|optim|^opt$|sched|device|^args$|config|^cfg$|hparams|^rank$|world|tokenizer|^sp$|lut|^h$|logger|^job$|state$|recipe"
)
STRINGS: dict[Kind, re.Pattern[str]] = {
    "validation": re.compile(r"fineweb_val|_val_\*|val_\*\.bin|/val[_/*]"),
    "training": re.compile(r"fineweb_train|_train_\*|train_\*\.bin|/train[_/*]"),
}
WORDS: dict[Kind, set[str]] = {"validation": {"val", "valid", "validation"}, "training": {"train", "training"}}
"""A split by its name, as it is given to what opens it."""
# Calls whose result is a number about the text, or something else than the text.
NUMBERS = {
    "float",
    "int",
    "len",
    "item",
    "numel",
    "tolist",
    "print",
    "log",
    "log0",
    "range",
    "str",
    "bool",
    "size",
    "min",
    "max",
    "isinstance",
    "type",
    "id",
    "hash",
}


Place = tuple[int, int]
"""Line and column."""


class Flow:
    """Names that hold text of a kind, by the function in which they do."""

    def __init__(self, program: Program, kind: Kind) -> None:
        self.program, self.source, self.string, self.words = program, SOURCES[kind], STRINGS[kind], WORDS[kind]
        self.names: dict[int, set[str]] = {id(scope): set() for scope in program.scopes}
        self.given: dict[int, set[str]] = {id(scope): set() for scope in program.scopes}
        """Those of them that hold it because some call gives it: another call may give something else."""
        self.places: dict[tuple[int, str], dict[Place, bool]] = {}
        """Whether a name holds it after each of its assignments."""
        self.attributes: dict[str, set[str | None]] = {}
        """Attributes that hold it, with the classes in which they do; None is any object."""
        self.returns: set[int] = set()
        self.settle()

    def settle(self) -> None:
        """Nothing; names are followed until nothing new is found."""
        for _ in range(8):
            before = self.extent
            for scope in self.program.scopes:
                self.follow(scope)
            if before == self.extent:
                return

    @property
    def extent(self) -> tuple[int, int, int]:
        """How much is known to hold the text."""
        return sum(map(len, self.names.values())), sum(map(len, self.attributes.values())), len(self.returns)

    def follow(self, scope: Scope) -> None:
        """Nothing; what a function assigns and hands on is known."""
        nodes = list(scope.own_nodes())
        for node in nodes:
            if isinstance(node, ast.comprehension):  # what it makes stands before its `for`
                self.assign(node.target, node.iter, scope, begin_of(self.program.parents[id(node)]))
        for node in nodes:
            self.follow_node(node, scope)

    def follow_node(self, node: ast.AST, scope: Scope) -> None:
        """Nothing; what one node assigns or hands on is known."""
        match node:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    self.assign(target, value, scope)
            case ast.AnnAssign(target=target, value=ast.expr() as value) | ast.NamedExpr(target=target, value=value):
                self.assign(target, value, scope)
            case ast.For(target=target, iter=source):
                self.assign(target, source, scope, begin_of(source))
            case ast.Call():
                self.hand_on(node, scope)
            case ast.Return(value=ast.expr() as value) | ast.Yield(value=ast.expr() as value):
                if self.holds(value, scope) and not self.is_given(value, scope) and not is_score(value):
                    self.returns.add(id(scope))

    def assign(self, target: ast.expr, value: ast.expr, scope: Scope, since: Place | None = None) -> None:
        """Nothing; a target holds the text from a place on, the value's end, or does no longer. Of two tuples each part
        gets its own.
        """
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
            for each, of in zip(target.elts, value.elts, strict=True):
                self.assign(each, of, scope, since or end_of(value))
            return
        is_held, place = self.holds(value, scope), since or end_of(value)
        for part in ast.walk(target):
            if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                self.places.setdefault((id(scope), part.id), {})[place] = is_held
            elif is_held and isinstance(part, ast.Subscript) and isinstance(part.value, ast.Name):
                self.places.setdefault((id(scope), part.value.id), {})[place] = True
        if is_held:
            self.mark(target, scope, self.is_given(value, scope))

    def mark(self, target: ast.expr, scope: Scope, is_given: bool) -> None:
        """Nothing; a name holds the text. An attribute does only where every instance is given it."""
        if isinstance(target, ast.Name | ast.Attribute) and HOLDERS.search(named(target)):
            return
        if isinstance(target, ast.Name):
            self.names[id(scope)].add(target.id)
            if isinstance(self.program.parents.get(id(self.program.parents[id(target)])), ast.ClassDef):
                self.attributes.setdefault(target.id, set()).add(None)
            if is_given:
                self.given[id(scope)].add(target.id)
        elif isinstance(target, ast.Attribute):
            if not is_given or self.is_always_given(scope):
                owner = scope.owner if is_self(target.value) else None
                self.attributes.setdefault(target.attr, set()).add(owner)
        elif isinstance(target, ast.Tuple | ast.List):
            for each in target.elts:
                self.mark(each, scope, is_given)
        elif isinstance(target, ast.Starred | ast.Subscript):
            self.mark(target.value, scope, is_given)

    def is_given(self, value: ast.expr, scope: Scope) -> bool:
        """Whether an expression holds the text only as far as a caller gives it."""
        return not any(
            self.is_source(part, scope) and not (isinstance(part, ast.Name) and part.id in self.given[id(scope)])
            for part in textual(value)
        )

    def is_always_given(self, scope: Scope) -> bool:
        """Whether all calls of a function, or of its class, give it the text."""
        calls = self.program.calls.get(scope.owner or scope.name, [])
        return bool(calls) and all(
            any(
                self.holds(each, self.program.scope_of(call))
                for each in (*call.args, *(k.value for k in call.keywords))
            )
            for call in calls
        )

    def hand_on(self, call: ast.Call, scope: Scope) -> None:
        """Nothing; parameters of known functions hold what they are given."""
        for callee in self.program.called(call):
            if callee.owner is not None and callee.name != "__init__" and call_name(call) == callee.owner:
                continue
            for name, value in matched(callee, call):
                if not HOLDERS.search(name) and self.holds(value, scope):
                    self.names[id(callee)].add(name)
                    self.given[id(callee)].add(name)

    def holds(self, node: ast.expr, scope: Scope) -> bool:
        """Whether an expression holds text of this kind, or something computed from it token by token."""
        return any(self.is_source(part, scope) for part in textual(node))

    def is_source(self, part: ast.AST, scope: Scope) -> bool:
        match part:
            case ast.Name(id=name):
                if self.source.search(name):
                    return True
                if name in self.names[id(scope)]:
                    return self.held_at(name, scope, (part.lineno, part.col_offset))
                return self.is_inherited(name, scope)
            case ast.Attribute(attr=name, value=holder):
                owners = self.attributes.get(name, set())
                is_held = bool(owners & {scope.owner, None}) if is_self(holder) else bool(owners)
                return is_held or bool(self.source.search(name))
            case ast.Constant(value=str() as text):
                return text in self.words or bool(self.string.search(text))
            case ast.Call() if call_name(part) not in self.program.classes:
                return any(id(callee) in self.returns for callee in self.program.called(part))
        return False

    def held_at(self, name: str, scope: Scope, here: Place) -> bool:
        """Whether a name holds the text at a place: by the assignment above it, or by any where none is above."""
        above = {place: held for place, held in self.places.get((id(scope), name), {}).items() if place <= here}
        return above[max(above)] if above else True

    def is_inherited(self, name: str, scope: Scope) -> bool:
        """Whether a closure takes the name from the function around it, or from the top level."""
        if name in scope.locals:
            return False
        around = scope
        while not isinstance(around.node, ast.Module):
            around = self.program.scope_of(around.node)
            if name in self.names[id(around)]:
                return True
        return False


def is_self(node: ast.expr) -> bool:
    """Whether a node is the object whose method this is."""
    return isinstance(node, ast.Name) and node.id == "self"


def begin_of(node: Any) -> Place:
    """Where a node begins."""
    return node.lineno, node.col_offset


def end_of(node: Any) -> Place:
    """Where a node ends."""
    return node.end_lineno, node.end_col_offset


def textual(node: ast.AST) -> Iterator[ast.AST]:
    """The parts of an expression through which text flows: not those that become a mere number."""
    if isinstance(node, ast.Call):
        name = call_name(node)
        if name in NUMBERS:
            return
        if isinstance(node.func, ast.Attribute):
            yield from textual(node.func.value)
        yield node
        for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
            yield from textual(argument)
        return
    if isinstance(node, ast.Subscript):
        yield from textual(node.value)
        return
    if isinstance(node, ast.Attribute):
        if node.attr in ("shape", "numel", "size", "dtype", "device"):
            return
        yield node
        yield from textual(node.value)
        return
    if isinstance(node, ast.Compare | ast.Lambda):
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from textual(child)


def is_score(node: ast.expr) -> bool:
    """Whether what a function returns is a score and no text, by its name."""
    names = [part.id for part in ast.walk(node) if isinstance(part, ast.Name)]
    return bool(names) and all(
        re.search(r"loss|bpb|nll|score|ppl|logit|metric|delta|temp|best|result", name) for name in names
    )


def matched(callee: Scope, call: ast.Call) -> Iterable[tuple[str, ast.expr]]:
    """Parameters of a function with what a call gives them."""
    names = callee.parameters
    positional = [argument for argument in call.args if not isinstance(argument, ast.Starred)]
    yield from zip(names, positional, strict=False)
    for keyword in call.keywords:
        if keyword.arg in names:
            yield str(keyword.arg), keyword.value


def named(node: ast.Name | ast.Attribute) -> str:
    """The last part of a name."""
    return node.id if isinstance(node, ast.Name) else node.attr


def names_in(node: ast.AST) -> set[str]:
    """Names and attributes that stand in a node."""
    return {named(part) for part in ast.walk(node) if isinstance(part, ast.Name | ast.Attribute)}
