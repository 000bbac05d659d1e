"""Where validation and training text flows in a program, through assignments, calls and attributes.

It follows names and not values: its purpose is to find lines that a reviewer should read.
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
# Names that hold no text, even if they are made by a call that was given some.
NON_TEXT_NAMES = re.compile(
    r"model|^net$|optim|^opt$|sched|device|^args$|config|^cfg$|hparams|^rank$|world|tokenizer|^sp$|lut|^h$|logger|^job$|state$|recipe"
)
STRINGS: dict[Kind, re.Pattern[str]] = {
    "validation": re.compile(r"fineweb_val|_val_\*|val_\*\.bin|/val[_/*]"),
    "training": re.compile(r"fineweb_train|_train_\*|train_\*\.bin|/train[_/*]"),
}
WORDS: dict[Kind, set[str]] = {"validation": {"val", "valid", "validation"}, "training": {"train", "training"}}
"""Names of a split, as they are passed to functions that open it."""
# Calls whose result is a number about the text, or anything but the text.
NUMERIC_CALLS = {
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
    """The names that hold text of one kind, for each function."""

    def __init__(self, program: Program, kind: Kind) -> None:
        self.program, self.source, self.string, self.words = program, SOURCES[kind], STRINGS[kind], WORDS[kind]
        self.names: dict[int, set[str]] = {id(scope): set() for scope in program.scopes}
        self.from_callers: dict[int, set[str]] = {id(scope): set() for scope in program.scopes}
        """Names that hold it only because a caller passes it; another caller may pass something else."""
        self.places: dict[tuple[int, str], dict[Place, bool]] = {}
        """Whether a name holds it after each of its assignments, by scope and name."""
        self.attributes: dict[str, set[str | None]] = {}
        """Attributes that hold it, with the classes in which they do; None stands for any object."""
        self.returns: set[int] = set()
        """ids of the functions that return it."""
        self.propagate()

    def propagate(self) -> None:
        """Follow the text through all functions until nothing new is found."""
        for _ in range(8):
            before = self.extent
            for scope in self.program.scopes:
                self.follow_scope(scope)
            if before == self.extent:
                return

    @property
    def extent(self) -> tuple[int, int, int]:
        """Numbers of names, attributes and functions that hold or return the text."""
        return sum(map(len, self.names.values())), sum(map(len, self.attributes.values())), len(self.returns)

    def follow_scope(self, scope: Scope) -> None:
        """Follow the text through a function."""
        nodes = list(scope.nodes)
        for node in nodes:
            if isinstance(node, ast.comprehension):  # its element comes before its `for`
                self.assign(node.target, node.iter, scope, start_of(self.program.parents[id(node)]))
        for node in nodes:
            self.follow_node(node, scope)

    def follow_node(self, node: ast.AST, scope: Scope) -> None:
        """Follow the text through a node that assigns, passes or returns it."""
        match node:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    self.assign(target, value, scope)
            case ast.AnnAssign(target=target, value=ast.expr() as value) | ast.NamedExpr(target=target, value=value):
                self.assign(target, value, scope)
            case ast.For(target=target, iter=source):
                self.assign(target, source, scope, start_of(source))
            case ast.Call():
                self.pass_arguments(node, scope)
            case ast.Return(value=ast.expr() as value) | ast.Yield(value=ast.expr() as value):
                if self.holds(value, scope) and not self.comes_from_callers(value, scope) and not is_score(value):
                    self.returns.add(id(scope))

    def assign(self, target: ast.expr, value: ast.expr, scope: Scope, since: Place | None = None) -> None:
        """Record whether a target holds the text from `since` on, by default from the end of the value.

        Two tuples of one length are assigned part by part.
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
            self.mark(target, scope, self.comes_from_callers(value, scope))

    def mark(self, target: ast.expr, scope: Scope, is_given: bool) -> None:
        """Mark a target as holding the text; an attribute only where every call passes the text."""
        if isinstance(target, ast.Name | ast.Attribute) and NON_TEXT_NAMES.search(last_name(target)):
            return
        if isinstance(target, ast.Name):
            self.names[id(scope)].add(target.id)
            if isinstance(self.program.parents.get(id(self.program.parents[id(target)])), ast.ClassDef):
                self.attributes.setdefault(target.id, set()).add(None)
            if is_given:
                self.from_callers[id(scope)].add(target.id)
        elif isinstance(target, ast.Attribute):
            if not is_given or self.is_given_by_all_calls(scope):
                owner = scope.owner if is_self(target.value) else None
                self.attributes.setdefault(target.attr, set()).add(owner)
        elif isinstance(target, ast.Tuple | ast.List):
            for each in target.elts:
                self.mark(each, scope, is_given)
        elif isinstance(target, ast.Starred | ast.Subscript):
            self.mark(target.value, scope, is_given)

    def comes_from_callers(self, value: ast.expr, scope: Scope) -> bool:
        """Return whether an expression holds the text only if a caller passes it."""
        return not any(
            self.is_source(part, scope) and not (isinstance(part, ast.Name) and part.id in self.from_callers[id(scope)])
            for part in text_parts(value)
        )

    def is_given_by_all_calls(self, scope: Scope) -> bool:
        """Return whether all calls of a function, or of its class, pass the text."""
        calls = self.program.calls.get(scope.owner or scope.name, [])
        return bool(calls) and all(
            any(
                self.holds(each, self.program.scope_of(call))
                for each in (*call.args, *(k.value for k in call.keywords))
            )
            for call in calls
        )

    def pass_arguments(self, call: ast.Call, scope: Scope) -> None:
        """Mark the parameters that receive the text from a call."""
        for callee in self.program.called(call):
            if callee.owner is not None and callee.name != "__init__" and call_name(call) == callee.owner:
                continue
            for name, value in match_arguments(callee, call):
                if not NON_TEXT_NAMES.search(name) and self.holds(value, scope):
                    self.names[id(callee)].add(name)
                    self.from_callers[id(callee)].add(name)

    def holds(self, node: ast.expr, scope: Scope) -> bool:
        """Return whether an expression holds text of this kind, or something computed from it token by token."""
        return any(self.is_source(part, scope) for part in text_parts(node))

    def is_source(self, part: ast.AST, scope: Scope) -> bool:
        """Return whether a part of an expression holds the text by itself."""
        match part:
            case ast.Name(id=name):
                if self.source.search(name):
                    return True
                if name in self.names[id(scope)]:
                    return self.held_at(name, scope, (part.lineno, part.col_offset))
                return self.is_from_enclosing(name, scope)
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
        """Return whether a name holds the text at a place by its last assignment above; true if there is none."""
        above = {place: held for place, held in self.places.get((id(scope), name), {}).items() if place <= here}
        return above[max(above)] if above else True

    def is_from_enclosing(self, name: str, scope: Scope) -> bool:
        """Return whether a closure takes a name that holds the text from a function around it."""
        if name in scope.locals:
            return False
        around = scope
        while not isinstance(around.node, ast.Module):
            around = self.program.scope_of(around.node)
            if name in self.names[id(around)]:
                return True
        return False


def is_self(node: ast.expr) -> bool:
    """Return whether a node is `self`."""
    return isinstance(node, ast.Name) and node.id == "self"


def start_of(node: Any) -> Place:
    """Return the line and column of a node's start."""
    return node.lineno, node.col_offset


def end_of(node: Any) -> Place:
    """Return the line and column of a node's end."""
    return node.end_lineno, node.end_col_offset


def text_parts(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the parts of an expression through which text flows, without those that become a number."""
    if isinstance(node, ast.Call):
        name = call_name(node)
        if name in NUMERIC_CALLS:
            return
        if isinstance(node.func, ast.Attribute):
            yield from text_parts(node.func.value)
        yield node
        for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
            yield from text_parts(argument)
        return
    if isinstance(node, ast.Subscript):
        yield from text_parts(node.value)
        return
    if isinstance(node, ast.Attribute):
        if node.attr in ("shape", "numel", "size", "dtype", "device"):
            return
        yield node
        yield from text_parts(node.value)
        return
    if isinstance(node, ast.Compare | ast.Lambda):
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from text_parts(child)


def is_score(node: ast.expr) -> bool:
    """Return whether a returned expression is a score and no text, by its names."""
    names = [part.id for part in ast.walk(node) if isinstance(part, ast.Name)]
    return bool(names) and all(
        re.search(r"loss|bpb|nll|score|ppl|logit|metric|delta|temp|best|result", name) for name in names
    )


def match_arguments(callee: Scope, call: ast.Call) -> Iterable[tuple[str, ast.expr]]:
    """Yield the parameters of a function with the arguments that a call passes for them."""
    names = callee.parameters
    positional = [argument for argument in call.args if not isinstance(argument, ast.Starred)]
    yield from zip(names, positional, strict=False)
    for keyword in call.keywords:
        if keyword.arg in names:
            yield str(keyword.arg), keyword.value


def last_name(node: ast.Name | ast.Attribute) -> str:
    """Return the last part of a dotted name."""
    return node.id if isinstance(node, ast.Name) else node.attr


def names_in(node: ast.AST) -> set[str]:
    """Return the names and attributes in a node."""
    return {last_name(part) for part in ast.walk(node) if isinstance(part, ast.Name | ast.Attribute)}
