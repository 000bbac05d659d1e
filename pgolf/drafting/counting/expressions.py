"""Evaluates the expressions of a model's constructor: names, attributes, operators, lists and comprehensions.

An expression that is not followed gives UNKNOWN if it holds no learned tensor, and OPAQUE if it may.
"""

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pgolf.drafting.counting.arithmetic import BINARY, MOST_ITEMS, MOST_STEPS, is_number, is_plain
from pgolf.drafting.counting.bindings import bindings_of, names_mutated
from pgolf.drafting.counting.certainty import UndecidedError, broadcast, compared, is_same, items_of, plain_key, truth
from pgolf.drafting.counting.objects import (
    OPAQUE,
    UNKNOWN,
    Binding,
    External,
    Frame,
    Learned,
    Members,
    Named,
    Object,
    ScriptClass,
    ScriptFunction,
    Shape,
    Super,
    TooLong,
    Unknown,
    may_hold,
)

LONGEST_TEXT = 1000
# Names that scripts give to modules, for code that does not show its imports.
USUAL_MODULES = {"nn": "torch.nn", "F": "torch.nn.functional", "torch": "torch", "os": "os", "math": "math"}
ERRORS = (TypeError, ValueError, ArithmeticError, LookupError, AttributeError)


class ExpressionReader:
    """Evaluates expressions in frames. How calls are followed is left to a derived class."""

    def __init__(self, modules: Mapping[str, ast.Module]) -> None:
        self.modules = {file: Frame(file, bindings=bindings_of(tree.body)) for file, tree in modules.items()}
        self.steps = 0
        self.doubt: str | None = None
        self.settings: dict[str, Any] = {}
        self.changed: set[str] = set()
        """Attributes that code outside the classes of modules assigns."""
        self.mutated = {name for tree in modules.values() for name in names_mutated(tree)}

    def called(self, call: ast.Call, frame: Frame) -> Any:
        """Return what a call gives."""
        raise NotImplementedError

    def call(self, target: Any, arguments: list[Any], keywords: dict[str, Any], place: str) -> Any:
        """Return what a call of a value with these arguments gives."""
        raise NotImplementedError

    def note_unfollowed(self, node: ast.AST, frame: Frame) -> None:
        """Note that code which may add or remove tensors is not followed."""
        self.doubt = self.doubt or f"{frame.file}:{getattr(node, 'lineno', 1)} is not followed"

    def count_step(self) -> None:
        """Count a statement or an expression.

        Raises:
            TooLong: there were more than MOST_STEPS.
        """
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise TooLong

    def value(self, node: ast.expr, frame: Frame) -> Any:
        """Return what an expression gives, UNKNOWN or OPAQUE."""
        self.count_step()
        try:
            return self.computed(node, frame)
        except ERRORS:
            return OPAQUE

    def computed(self, node: ast.expr, frame: Frame) -> Any:
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name(id=name):
                return self.named(name, frame)
            case ast.Attribute(value=owner, attr=name):
                return self.attribute(self.value(owner, frame), name)
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                return self.listed(parts, frame)
            case ast.Dict():
                return self.dictionary(node, frame)
            case ast.Subscript(value=owner, slice=index):
                return self.item(self.value(owner, frame), index, frame)
            case ast.Call():
                return self.called(node, frame)
            case ast.BinOp() | ast.UnaryOp() | ast.BoolOp() | ast.Compare() | ast.IfExp():
                return self.operated(node, frame)
        return self.composed(node, frame)

    def composed(self, node: ast.expr, frame: Frame) -> Any:
        """Return what a comprehension, a lambda, an f-string or an assignment in an expression gives."""
        match node:
            case ast.Set(elts=parts):
                members = self.listed(parts, frame)
                return set(members) if is_plain(members) else OPAQUE
            case ast.ListComp(elt=element, generators=loops) | ast.GeneratorExp(elt=element, generators=loops):
                return self.comprehended(element, loops, frame)
            case ast.DictComp(key=key, value=member, generators=loops):
                pairs = self.comprehended(ast.Tuple([key, member], ast.Load()), loops, frame)
                return pairs if isinstance(pairs, Unknown) else {plain_key(key): member for key, member in pairs}
            case ast.Lambda():
                return ScriptFunction(node, frame)
            case ast.NamedExpr(target=ast.Name(id=name), value=expression):
                frame.names[name] = self.value(expression, frame)
                return frame.names[name]
            case ast.JoinedStr(values=parts):
                return self.formatted(parts, frame)
        return OPAQUE

    def listed(self, parts: Sequence[ast.expr], frame: Frame) -> Any:
        """Return the values of expressions as a list; starred ones are lists of members."""
        found: list[Any] = []
        for part in parts:
            if isinstance(part, ast.Starred):
                members = self.value(part.value, frame)
                if not isinstance(members, list | tuple):
                    return OPAQUE
                found += members
            else:
                found.append(self.value(part, frame))
        return found

    def dictionary(self, node: ast.Dict, frame: Frame) -> Any:
        found: dict[Any, Any] = {}
        for key, member in zip(node.keys, node.values, strict=True):
            value = self.value(member, frame)
            if key is not None:
                found[plain_key(self.value(key, frame))] = value
            elif isinstance(value, dict):
                found |= value
            else:
                return OPAQUE
        return found

    def formatted(self, parts: Sequence[ast.expr], frame: Frame) -> Any:
        """Return an f-string's text."""
        text = ""
        for part in parts:
            value = self.value(part.value if isinstance(part, ast.FormattedValue) else part, frame)
            has_format = isinstance(part, ast.FormattedValue) and (part.format_spec or part.conversion != -1)
            if has_format or not isinstance(value, str | int | float):
                return UNKNOWN
            text += str(value)
        return text if len(text) <= LONGEST_TEXT else UNKNOWN

    def item(self, owner: Any, index: ast.expr, frame: Frame) -> Any:
        """Return a member of a list or a dictionary, or a slice of a list."""
        if isinstance(index, ast.Slice):
            ends = (index.lower, index.upper, index.step)
            found = owner[slice(*(None if each is None else self.value(each, frame) for each in ends))]
            return type(owner)(found) if isinstance(owner, Members) else found
        if isinstance(owner, list | dict | tuple | str):
            return owner[self.value(index, frame)]
        return UNKNOWN if isinstance(owner, Shape | Learned | External) else owner

    # Names

    def named(self, name: str, frame: Frame) -> Any:
        """Return the value of a name in a frame or those around it."""
        scope: Frame | None = frame
        while scope is not None:
            if name in scope.names:
                return scope.names[name]
            if name in scope.bindings:
                return self.bound(name, scope)
            scope = scope.outer
        if name in USUAL_MODULES:
            return External(USUAL_MODULES[name])
        return External(f"builtins.{name}") if name in BUILTINS else OPAQUE

    def bound(self, name: str, scope: Frame) -> Any:
        """Return the value that the statements of a scope give to a name."""
        scope.names[name] = OPAQUE  # while it is evaluated, against circles
        bindings = scope.bindings[name]
        if scope.owner is not None or scope.outer is None:
            bindings = bindings[-1:] if all(each.is_direct for each in bindings) else bindings
        values = [self.outside(lambda each=each: self.of_binding(each, scope)) for each in bindings]  # type: ignore[misc]
        found = values[0]
        if len(values) > 1 and not all(is_same(each, found) for each in values):
            found = OPAQUE if any(map(may_hold, values)) else UNKNOWN
        if isinstance(found, list | dict) and name in self.mutated:
            found = OPAQUE
        scope.names[name] = found
        return found

    def outside(self, evaluate: Callable[[], Any]) -> Any:
        """Return a value from code outside the model's constructors, OPAQUE if that is not followed.

        The model stays certain unless it uses the value.
        """
        before, self.doubt = self.doubt, None
        value = evaluate()
        found, self.doubt = self.doubt, before
        return value if found is None else OPAQUE

    def of_binding(self, binding: Binding, scope: Frame) -> Any:
        match binding.node:
            case ast.ClassDef() as node:
                return self.defined_class(node, scope)
            case ast.FunctionDef() as node:
                return self.defined_function(node, scope)
            case ast.alias(name=path):
                return self.imported(path)
            case ast.expr() as expression:
                return self.value(expression, scope)
        return UNKNOWN

    def defined_class(self, node: ast.ClassDef, scope: Frame) -> Any:
        """Return a class; OPAQUE if a decorator or a metaclass may make something else of it."""
        if node.keywords or not all(decorator_name(each) in DECORATORS for each in node.decorator_list):
            return OPAQUE
        body = Frame(scope.file, scope, bindings=bindings_of(node.body))
        body.owner = ScriptClass(node, body)
        return body.owner

    def defined_function(self, node: ast.FunctionDef, scope: Frame) -> Any:
        """Return a function, OPAQUE if it is decorated; the names of a class are not seen in its methods."""
        if not all(decorator_name(each) in DECORATORS for each in node.decorator_list):
            return OPAQUE
        is_method = scope.owner is not None and scope.instance is None
        outer = scope.outer if is_method and scope.outer is not None else scope
        return ScriptFunction(node, outer, scope.owner if is_method else None)

    def imported(self, path: str) -> Any:
        """Return what an import gives: a name of another file of the script, or something external."""
        module, _, name = path.rpartition(".")
        file = next((each for each in self.modules if each.removesuffix(".py").replace("/", ".") == module), None)
        return External(path) if file is None else self.named(name, self.modules[file])

    # Attributes

    def attribute(self, owner: Any, name: str) -> Any:
        """Return an attribute; a setting's value where the owner is unknown."""
        match owner:
            case Object():
                return self.attribute_of_object(owner, name)
            case ScriptClass():
                return self.attribute_of_class(owner, name, owner)
            case Super(instance=instance, owner=above):
                return self.attribute_of_class(instance.kind, name, instance, above)
            case External(path=path) if path.startswith("torch.nn") and name in self.changed:
                return OPAQUE
            case External(path=path):
                return External(f"{path}.{name}")
            case Shape(size=size) | Learned(size=size):
                return Shape(size) if name in ("T", "mT", "data") else UNKNOWN
            case Named() if name in owner:
                return owner[name]
        if isinstance(owner, Unknown) and name in self.settings:
            return UNKNOWN if name in self.changed else self.settings[name]
        return owner if isinstance(owner, Unknown) else UNKNOWN

    def attribute_of_object(self, owner: Object, name: str) -> Any:
        if not owner.is_module and name in self.changed:
            return UNKNOWN
        if name in owner.attributes:
            return owner.attributes[name]
        found = UNKNOWN if owner.kind is None else self.attribute_of_class(owner.kind, name, owner)
        if isinstance(found, ScriptFunction) and is_decorated(found, "property", "cached_property"):
            return self.call(found, [], {}, found.frame.file)
        return found

    def attribute_of_class(
        self, kind: ScriptClass, name: str, instance: Any = None, after: ScriptClass | None = None
    ) -> Any:
        """Return what a class, or its bases after one of them, define; a method is bound to the instance."""
        classes = self.linearized(kind)
        for each in classes[classes.index(after) + 1 :] if after in classes else classes:
            if not isinstance(each, ScriptClass) or name not in each.frame.bindings:
                continue
            found = self.named(name, each.frame)
            if not isinstance(found, ScriptFunction) or found.owner is not each or is_decorated(found, "staticmethod"):
                return found
            if is_decorated(found, "classmethod"):
                instance = kind
            is_bound = isinstance(instance, Object) or is_decorated(found, "classmethod")
            return ScriptFunction(found.node, found.frame, each, instance if is_bound else None)
        return UNKNOWN

    def linearized(self, kind: ScriptClass) -> list[Any]:
        """Return a class and its bases, each once, in the order in which Python searches them in simple hierarchies."""
        found: list[Any] = []

        def visit(each: Any, depth: int = 0) -> None:
            if any(each is other or each == other for other in found):
                return
            found.append(each)
            if isinstance(each, ScriptClass) and each.frame.outer is not None and depth < MOST_BASES:
                for base in each.node.bases:
                    visit(self.value(base, each.frame.outer), depth + 1)

        visit(kind)
        return found

    # Operators

    def operated(self, node: ast.expr, frame: Frame) -> Any:
        """Return the result of an operator."""
        match node:
            case ast.BinOp(left=left, op=op, right=right):
                return self.binary(op, self.value(left, frame), self.value(right, frame))
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                decided = truth(self.value(operand, frame))
                return UNKNOWN if decided is None else not decided
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                value = self.value(operand, frame)
                return -value if is_number(value) else Shape(value.size) if isinstance(value, Shape) else UNKNOWN
            case ast.BoolOp(op=op, values=parts):
                return self.boolean(isinstance(op, ast.And), parts, frame)
            case ast.Compare(left=left, ops=ops, comparators=others):
                values = [self.value(each, frame) for each in (left, *others)]
                results = [compared(*each) for each in zip(ops, values, values[1:], strict=False)]
                return False if False in results else UNKNOWN if UNKNOWN in results else True
            case ast.IfExp(test=test, body=body, orelse=other):
                decided = truth(self.value(test, frame))
                if decided is not None:
                    return self.value(body if decided else other, frame)
                both = [self.value(body, frame), self.value(other, frame)]
                return both[0] if is_same(*both) else OPAQUE if any(map(may_hold, both)) else UNKNOWN
        return OPAQUE

    def binary(self, op: ast.operator, left: Any, right: Any) -> Any:
        if isinstance(left, Shape | Learned) or isinstance(right, Shape | Learned):
            return broadcast(left, right)
        if isinstance(left, list) and isinstance(right, list) and isinstance(op, ast.Add):
            return type(left)(left + right) if len(left) + len(right) <= MOST_ITEMS else OPAQUE
        if isinstance(left, list) and isinstance(right, int) and isinstance(op, ast.Mult):
            return left * right if len(left) * right <= MOST_ITEMS else OPAQUE
        if isinstance(left, str) and isinstance(right, str) and isinstance(op, ast.Add):
            return left + right if len(left + right) <= LONGEST_TEXT else UNKNOWN
        if is_number(left) and is_number(right):
            return BINARY[type(op)](left, right) if type(op) in BINARY else UNKNOWN
        return OPAQUE if any(isinstance(each, list | dict) for each in (left, right)) else UNKNOWN

    def boolean(self, is_and: bool, parts: Sequence[ast.expr], frame: Frame) -> Any:
        """Return the first value that decides `and` or `or`; what comes after it is not evaluated."""
        found: list[Any] = []
        for part in parts:
            found.append(self.value(part, frame))
            decided = truth(found[-1])
            if decided is not None and decided is not is_and and all(truth(each) is not None for each in found[:-1]):
                return found[-1]
        undecided = [each for each in found if truth(each) is None]
        if not undecided:
            return found[-1]
        if any(truth(each) is (not is_and) and isinstance(each, bool) for each in found):
            return not is_and
        return OPAQUE if any(map(may_hold, found)) else UNKNOWN

    def comprehended(self, element: ast.expr, loops: Sequence[ast.comprehension], frame: Frame) -> Any:
        """Return the list of a comprehension; OPAQUE if what it runs over is unknown."""
        inside = Frame(frame.file, frame, instance=frame.instance, owner=frame.owner)
        try:
            return list(self.looped(element, loops, inside))
        except UndecidedError:
            return OPAQUE

    def looped(self, element: ast.expr, loops: Sequence[ast.comprehension], frame: Frame) -> Iterator[Any]:
        """Yield the elements of a comprehension.

        Raises:
            UndecidedError: the members of a loop, or a condition, are unknown.
        """
        if not loops:
            yield self.value(element, frame)
            return
        for item in items_of(self.value(loops[0].iter, frame)):
            inside = Frame(frame.file, frame, instance=frame.instance, owner=frame.owner)
            self.assign(loops[0].target, item, inside)
            tests = [truth(self.value(test, inside)) for test in loops[0].ifs]
            if None in tests and False not in tests:
                raise UndecidedError
            if False not in tests:
                yield from self.looped(element, loops[1:], inside)

    def assign(self, target: ast.expr, value: Any, frame: Frame) -> None:
        """Give a name, an attribute, a member, or several of them, a value."""
        match target:
            case ast.Name(id=name):
                frame.names[name] = value
            case ast.Attribute(value=owner, attr=name):
                self.set_attribute(self.value(owner, frame), name, value, target, frame)
            case ast.Subscript(value=owner, slice=index):
                self.set_item(self.value(owner, frame), index, value, frame)
            case ast.Starred(value=inner):
                self.assign(inner, value, frame)
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                self.unpack(parts, value, frame)

    def unpack(self, parts: Sequence[ast.expr], value: Any, frame: Frame) -> None:
        is_known = isinstance(value, list | tuple) and len(value) == len(parts)
        is_known = is_known and not any(isinstance(part, ast.Starred) for part in parts)
        unknown = OPAQUE if may_hold(value) else UNKNOWN
        for part, item in zip(parts, value if is_known else [unknown] * len(parts), strict=True):
            self.assign(part, item, frame)

    def set_attribute(self, owner: Any, name: str, value: Any, node: ast.AST, frame: Frame) -> None:
        if isinstance(owner, Object):
            owner.attributes[name] = value
            if owner.is_module and value is OPAQUE:
                self.note_unfollowed(node, frame)
        elif isinstance(owner, Unknown | Members | Named | Learned):
            if name in self.settings:
                self.settings[name] = UNKNOWN
            if may_hold(value):
                self.note_unfollowed(node, frame)

    def set_item(self, owner: Any, index: ast.expr, value: Any, frame: Frame) -> None:
        place = UNKNOWN if isinstance(index, ast.Slice) else self.value(index, frame)
        if isinstance(owner, list | dict) and isinstance(place, int | str) and not isinstance(value, Unknown):
            try:
                owner[place] = value  # type: ignore[index]
                return
            except ERRORS:
                pass
        if isinstance(owner, list | dict) or may_hold(value):
            self.note_unfollowed(index, frame)


BUILTINS = frozenset((
    "print", "isinstance", "issubclass", "hasattr", "getattr", "setattr", "delattr", "super", "object", "type",
    "id", "repr", "format", "any", "all", "map", "filter", "iter", "next", "len", "list", "tuple", "dict", "set",
    "frozenset", "enumerate", "zip", "reversed", "sorted", "sum", "min", "max", "abs", "round", "range", "int",
    "float", "bool", "str", "vars", "locals", "globals", "exec", "eval", "callable", "divmod", "pow", "open",
    "input", "hash", "property", "staticmethod", "classmethod", "slice", "bytes", "Exception", "ValueError",
    "TypeError", "RuntimeError", "NotImplementedError", "KeyError", "ImportError", "AssertionError",
))  # fmt: skip
# Decorators that leave what a function or a class makes as it is.
DECORATORS = ("staticmethod", "classmethod", "property", "cached_property", "dataclass", "no_grad", "inference_mode",
              "compile", "override", "final", "abstractmethod", "wraps", "disable", "script")  # fmt: skip
MOST_BASES = 12


def decorator_name(node: ast.expr) -> str:
    """Return the last name of a decorator, called or not."""
    function = node.func if isinstance(node, ast.Call) else node
    return getattr(function, "attr", getattr(function, "id", ""))


def is_decorated(function: ScriptFunction, *names: str) -> bool:
    """Return whether a function has one of these decorators."""
    decorators = [] if isinstance(function.node, ast.Lambda) else function.node.decorator_list
    return any(getattr(each, "attr", getattr(each, "id", "")) in names for each in decorators)
