"""Counts the learned tensors that a script's model has with given values, by reading its constructors.

A small interpreter follows `__init__` of the model and of the classes it constructs. It knows the modules of torch.nn
that have tensors; what it does not know is UNKNOWN, and a tensor of unknown size is listed without one.
"""

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pgolf.drafting.arithmetic import (
    BINARY,
    COMPARED,
    KEPT,
    MOST_ITEMS,
    MOST_STEPS,
    PLAIN,
    SHALLOW,
    TEXT_METHODS,
    UNKNOWN,
    Learned,
    Module,
    Scope,
    Shape,
    TooLong,
    count_values,
    is_number,
    is_plain,
    product_of,
    tensor_of,
)
from pgolf.drafting.learned import is_other, makes_tensor
from pgolf.drafting.values import Hyperparameter
from pgolf.scripts.program import ScriptProgram

MOST_DEPTH = 12
"""Most constructors inside each other."""
CONTAINERS = ("ModuleList", "ParameterList", "ModuleDict", "ParameterDict", "Sequential")


@dataclass(frozen=True, slots=True)
class ModelTensor:
    """A learned tensor of a script's model."""

    path: str
    """Classes and attributes that lead to it, as in `GPT.blocks.0.attn.q_gain`."""
    size: int | None
    """Number of values; None if the script does not tell."""
    place: str


@dataclass(frozen=True, slots=True)
class ScriptModel:
    """The learned tensors of a script's model."""

    tensors: tuple[ModelTensor, ...]
    is_certain: bool
    """Whether every condition on a tensor was decided."""

    @property
    def parameters(self) -> int | None:
        """Number of parameters; None if a size is unknown."""
        sizes = [tensor.size for tensor in self.tensors]
        return None if None in sizes else sum(filter(None, sizes))


def model_of(program: ScriptProgram, values: Mapping[str, Hyperparameter]) -> ScriptModel | None:
    """Return the model that a script constructs with these values; None if none is found.

    Of several classes that no other class constructs, the one with most parameters is the model.
    """
    found = []
    for name in model_classes(program):
        reader = ModelReader(program, values)
        try:
            module = reader.construct_root(name)
        except (TooLong, RecursionError):
            continue
        tensors = tuple(tensors_of(module))
        if tensors:
            found.append(ScriptModel(tensors, reader.is_certain))
    return max(found, key=lambda model: sum(tensor.size or 0 for tensor in model.tensors), default=None)


def classes_of(program: ScriptProgram) -> dict[str, tuple[str, ast.ClassDef]]:
    """Return the classes of modules with their files, by name: those with tensors, or derived from a module."""
    nodes = ((file, node) for file, tree in program.trees.items() for node in ast.walk(tree))
    named = {node.name: (file, node) for file, node in nodes if isinstance(node, ast.ClassDef)}
    return {name: found for name, found in named.items() if has_tensors(found[1]) or is_module(found[1], named)}


def is_module(node: ast.ClassDef, named: Mapping[str, tuple[str, ast.ClassDef]], depth: int = 0) -> bool:
    """Return whether a class derives from one of torch.nn's."""
    base = base_name(node)
    if base in named and depth < MOST_DEPTH:
        return is_module(named[base][1], named, depth + 1)
    return base.endswith(("Module", "Linear", "Embedding"))


def model_classes(program: ScriptProgram) -> list[str]:
    """Return the classes with tensors that no other class constructs."""
    classes = classes_of(program)
    inner = {
        call.func.id
        for name, (_, node) in classes.items()
        for call in ast.walk(node)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id != name
    }
    return [name for name in classes if name not in inner and not is_other(name)]


def tensors_of(module: Any) -> Iterator[ModelTensor]:
    """Yield each learned tensor of a module once, as torch's parameters() does."""
    seen = set[int]()

    def visit(value: Any, path: str) -> Iterator[ModelTensor]:
        if isinstance(value, Module | Learned | list | tuple | dict):
            if id(value) in seen:
                return
            seen.add(id(value))
        if isinstance(value, Learned):
            yield ModelTensor(path, value.size, value.place)
        members: Mapping[Any, Any] = {}
        if isinstance(value, Module):
            members = value.attributes
        elif isinstance(value, list | tuple):
            members = dict(enumerate(value))
        elif isinstance(value, dict):
            members = value
        for name, member in members.items():
            yield from visit(member, f"{path}.{name}")

    if isinstance(module, Module):
        yield from visit(module, module.name)


class ModelReader:
    """Follows the constructors of a program's classes."""

    def __init__(self, program: ScriptProgram, values: Mapping[str, Hyperparameter]) -> None:
        self.program, self.values = program, values
        self.classes = classes_of(program)
        self.is_certain, self.steps, self.depth, self.file = True, 0, 0, program.name
        self.globals: Scope = {}
        self.settings: Scope = {name.lower(): number_or_text(value) for name, value in values.items()}
        self.read_settings()

    def read_settings(self) -> None:
        """Read the constants of modules and of classes, and what classes that read the environment assign."""
        for tree in self.program.trees.values():
            for node in tree.body:
                self.assign_constant(node, self.globals)
                if isinstance(node, ast.ClassDef) and node.name not in self.classes:
                    for part in ast.walk(node) if reads_environment(node) else node.body:
                        self.assign_constant(part, self.settings)

    def assign_constant(self, node: ast.AST, scope: Scope) -> None:
        """Set a name or an attribute to its value, if that is known."""
        match node:
            case ast.Assign(targets=[ast.Name(id=name) | ast.Attribute(attr=name)], value=expression):
                pass
            case ast.AnnAssign(target=ast.Name(id=name) | ast.Attribute(attr=name), value=ast.expr() as expression):
                pass
            case _:
                return
        value = self.value(expression, dict(self.settings))
        if self.is_plain(value):
            scope[name] = value

    def is_plain(self, value: Any) -> bool:
        """Return whether a value is a constant of a usual size."""
        try:
            return is_plain(value)
        except ValueError:
            return False

    def construct_root(self, name: str) -> Any:
        """Construct a class with the arguments of the first call outside classes."""
        for tree in self.program.trees.values():
            for node in outside_classes(tree):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
                    return self.construct(name, node, {})
        return self.construct(name, ast.Call(ast.Name(name), [], []), {})

    def count_step(self) -> None:
        """Count a statement or an expression.

        Raises:
            TooLong: there were more than MOST_STEPS.
        """
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise TooLong

    # Statements

    def run(self, body: Sequence[ast.stmt], scope: Scope) -> None:
        """Follow statements; those that decide on no tensor are skipped."""
        for statement in body:
            self.run_one(statement, scope)

    def run_one(self, statement: ast.stmt, scope: Scope) -> None:
        self.count_step()
        match statement:
            case ast.Assign() | ast.AnnAssign() | ast.AugAssign():
                self.run_assignment(statement, scope)
            case ast.If(test=test, body=body, orelse=other):
                decided = self.value(test, scope)
                if decided is UNKNOWN:
                    self.note_undecided(statement)
                self.run(body if decided else other, scope)
            case ast.For(target=target, iter=iterated, body=body):
                for item in self.items(self.value(iterated, scope)):
                    self.assign(target, item, scope)
                    self.run(body, scope)
            case ast.With(body=body) | ast.Try(body=body):
                self.run(body, scope)
            case ast.Expr(value=ast.Call() as call):
                self.run_call(call, scope)

    def run_assignment(self, statement: ast.Assign | ast.AnnAssign | ast.AugAssign, scope: Scope) -> None:
        match statement:
            case ast.Assign(targets=targets, value=expression):
                value = self.value(expression, scope)
                for target in targets:
                    self.assign(target, value, scope)
            case ast.AnnAssign(target=target, value=ast.expr() as expression):
                self.assign(target, self.value(expression, scope), scope)
            case ast.AugAssign(target=target, op=op, value=expression):
                self.assign(target, self.value(ast.BinOp(target, op, expression), scope), scope)

    def run_call(self, call: ast.Call, scope: Scope) -> None:
        """Follow a call that may add tensors: append, extend, register_parameter, or a method of the object itself."""
        match call.func:
            case ast.Attribute(value=owner, attr="append" | "extend" as method) if call.args:
                members, added = self.value(owner, scope), self.value(call.args[0], scope)
                if isinstance(members, list) and len(members) < MOST_ITEMS:
                    members += [added] if method == "append" else self.items(added)
            case ast.Attribute(value=ast.Call(func=ast.Name(id="super")), attr="__init__"):
                self.run_base(scope["self"], call, scope)
            case ast.Attribute(value=ast.Name(id="self"), attr="register_parameter") if len(call.args) > 1:
                name, value = (self.value(each, scope) for each in call.args[:2])
                scope["self"].attributes[str(name)] = value
            case ast.Attribute(value=ast.Name(id="self"), attr=method) if isinstance(scope.get("self"), Module):
                self.run_method(scope["self"], method, call, scope)

    def run_base(self, module: Any, call: ast.Call, scope: Scope) -> None:
        """Follow the constructor of a base class in the script."""
        base = base_name(self.classes[scope["class"]][1])
        constructor = method_of(self.classes[base][1], "__init__") if base in self.classes else None
        if constructor is not None:
            self.enter(module, base, constructor, call, scope)

    def run_method(self, module: Module, method: str, call: ast.Call, scope: Scope) -> None:
        """Follow a method of a class of the script if it makes tensors."""
        if module.name not in self.classes:
            return
        found = method_of(self.classes[module.name][1], method)
        if found is not None and has_tensors(found):
            self.enter(module, module.name, found, call, scope)

    def assign(self, target: ast.expr, value: Any, scope: Scope) -> None:
        match target:
            case ast.Name(id=name):
                scope[name] = value
            case ast.Attribute(value=owner, attr=name):
                module = self.value(owner, scope)
                if isinstance(module, Module):
                    module.attributes[name] = value
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                items = (
                    value if isinstance(value, list | tuple) and len(value) == len(parts) else [UNKNOWN] * len(parts)
                )
                for part, item in zip(parts, items, strict=True):
                    self.assign(part, item, scope)

    def note_undecided(self, node: ast.AST) -> None:
        """Note that a condition is unknown, if tensors depend on it."""
        if any(isinstance(part, ast.Call) and self.may_make_tensor(part) for part in ast.walk(node)):
            self.is_certain = False

    def may_make_tensor(self, call: ast.Call) -> bool:
        return makes_tensor(call.func) or (isinstance(call.func, ast.Name) and call.func.id in self.classes)

    # Expressions

    def value(self, node: ast.expr, scope: Scope) -> Any:
        """Return what an expression gives, or UNKNOWN."""
        self.count_step()
        try:
            return self.computed(node, scope)
        except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError):
            return UNKNOWN

    def computed(self, node: ast.expr, scope: Scope) -> Any:
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name(id=name):
                return scope.get(name, self.globals.get(name, UNKNOWN))
            case ast.Attribute(value=owner, attr=name):
                return self.attribute(self.value(owner, scope), name)
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                return [self.value(part, scope) for part in parts]
            case ast.Dict(keys=keys, values=members):
                pairs = zip(keys, members, strict=True)
                return {self.value(key, scope): self.value(member, scope) for key, member in pairs if key is not None}
            case ast.ListComp(elt=element, generators=[loop]) | ast.GeneratorExp(elt=element, generators=[loop]):
                return list(self.looped(element, loop, scope))
            case ast.DictComp(key=key, value=member, generators=[loop]):
                return dict(self.looped(ast.Tuple([key, member]), loop, scope))
            case ast.Subscript(value=owner, slice=index):
                return self.value(owner, scope)[self.index(index, scope)]
            case ast.Call():
                return self.called(node, scope)
        return self.operated(node, scope)

    def index(self, node: ast.expr, scope: Scope) -> Any:
        """Return an index, or a slice without a step."""
        if not isinstance(node, ast.Slice):
            return self.value(node, scope)
        return slice(*(None if each is None else self.value(each, scope) for each in (node.lower, node.upper)))

    def operated(self, node: ast.expr, scope: Scope) -> Any:
        """Return the result of an operator."""
        match node:
            case ast.BinOp(left=left, op=op, right=right):
                return self.binary(op, self.value(left, scope), self.value(right, scope))
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                value = self.value(operand, scope)
                return UNKNOWN if value is UNKNOWN else not value
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self.value(operand, scope)
            case ast.BoolOp(op=op, values=parts):
                return self.boolean(isinstance(op, ast.And), parts, scope)
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                one, other = self.value(left, scope), self.value(right, scope)
                is_decided = isinstance(op, ast.Is | ast.IsNot) or (is_plain(one) and is_plain(other))
                return COMPARED[type(op)](one, other) if is_decided and UNKNOWN not in (one, other) else UNKNOWN
            case ast.IfExp(test=test, body=body, orelse=other):
                decided = self.value(test, scope)
                if decided is UNKNOWN:
                    self.note_undecided(node)
                return self.value(body if decided else other, scope)
        return UNKNOWN

    def attribute(self, owner: Any, name: str) -> Any:
        """Return an attribute of a module, or the setting with its name."""
        if isinstance(owner, Module):
            return owner.attributes.get(name, UNKNOWN)
        return self.settings.get(name, UNKNOWN) if owner is UNKNOWN else UNKNOWN

    def binary(self, op: ast.operator, left: Any, right: Any) -> Any:
        if isinstance(left, Shape) or isinstance(right, Shape):
            return max((each for each in (left, right) if isinstance(each, Shape)), key=lambda shape: shape.size or 0)
        if isinstance(left, list) and isinstance(right, list) and isinstance(op, ast.Add):
            return (left + right)[:MOST_ITEMS]
        if isinstance(left, list) and isinstance(right, int) and isinstance(op, ast.Mult):
            return left * right if len(left) * right <= MOST_ITEMS else UNKNOWN
        return BINARY[type(op)](left, right) if is_number(left) and is_number(right) else UNKNOWN

    def boolean(self, is_and: bool, parts: Sequence[ast.expr], scope: Scope) -> Any:
        values = [self.value(part, scope) for part in parts]
        deciding = [value for value in values if value is not UNKNOWN and bool(value) is not is_and]
        return deciding[0] if deciding else UNKNOWN if UNKNOWN in values else values[-1]

    def items(self, iterated: Any) -> Sequence[Any]:
        """Return what a loop runs over; nothing if that is unknown."""
        return list(iterated)[:MOST_ITEMS] if isinstance(iterated, list | tuple | set) else []

    def looped(self, element: ast.expr, loop: ast.comprehension, scope: Scope) -> Iterator[Any]:
        iterated = self.value(loop.iter, scope)
        if iterated is UNKNOWN:
            self.note_undecided(element)
        for item in self.items(iterated):
            inside = dict(scope)
            self.assign(loop.target, item, inside)
            if all(self.value(test, inside) for test in loop.ifs):
                yield self.value(element, inside)

    # Calls

    def called(self, call: ast.Call, scope: Scope) -> Any:
        match call.func:
            case ast.Name(id=name) if name in self.classes:
                return self.construct(name, call, scope)
            case ast.Name(id="range"):
                return list(range(*[min(self.value(each, scope), MOST_ITEMS) for each in call.args]))
            case ast.Name(id="getattr"):
                return self.default_attribute(call, scope)
            case ast.Name(id=name) if name in PLAIN:
                arguments = [self.value(each, scope) for each in call.args]
                return PLAIN[name](*arguments) if name in SHALLOW or is_plain(arguments) else UNKNOWN
            case ast.Attribute(value=owner, attr=name):
                return self.made(name, call, scope, self.value(owner, scope))
            case ast.Name(id=name):
                return self.made(name, call, scope, UNKNOWN)
        return UNKNOWN

    def default_attribute(self, call: ast.Call, scope: Scope) -> Any:
        owner, name, *default = (self.value(each, scope) for each in call.args)
        found = self.attribute(owner, str(name))
        return default[0] if found is UNKNOWN and default else found

    def made(self, name: str, call: ast.Call, scope: Scope, owner: Any) -> Any:
        """Return what a function of torch, a method of a text, or a read of the environment gives."""
        arguments = [self.value(each, scope) for each in call.args if not isinstance(each, ast.Starred)]
        if isinstance(owner, str) and name in TEXT_METHODS:
            return getattr(owner, name)(*arguments)
        if isinstance(owner, Shape) and name in KEPT:
            return Shape(owner.size)
        if arguments and isinstance(arguments[0], str) and arguments[0] in self.values:
            return number_or_text(self.values[arguments[0]])
        keywords = {each.arg: self.value(each.value, scope) for each in call.keywords if each.arg}
        return self.module_of_torch(name, arguments, keywords, f"{self.file}:{call.lineno}")

    def module_of_torch(self, name: str, arguments: list[Any], keywords: Scope, place: str) -> Any:
        """Return a module, a parameter or a tensor that torch makes."""
        if name in CONTAINERS:
            return arguments[0] if name not in ("Sequential",) and arguments else arguments
        if name == "Parameter":
            return Learned(count_values(arguments[0] if arguments else keywords.get("data")), place)
        if name.endswith("Linear"):
            sizes = (arguments + [keywords.get(key) for key in ("in_features", "out_features")][len(arguments) :])[:2]
            has_bias = keywords.get("bias", arguments[2] if len(arguments) > 2 else name == "Linear")
            bias = Learned(product_of(sizes[1:]), place) if has_bias else None
            return Module(name, {"weight": Learned(product_of(sizes), place), "bias": bias})
        if name.endswith("Embedding"):
            sizes = arguments + [keywords.get(key) for key in ("num_embeddings", "embedding_dim")][len(arguments) :]
            return Module(name, {"weight": Learned(product_of(sizes[:2]), place)})
        if name in ("LayerNorm", "RMSNorm") and keywords.get("elementwise_affine", True):
            size = product_of(arguments[:1])
            bias = Learned(size, place) if name == "LayerNorm" and keywords.get("bias", True) else None
            return Module(name, {"weight": Learned(size, place), "bias": bias})
        return tensor_of(name, arguments) or UNKNOWN

    def construct(self, name: str, call: ast.Call, scope: Scope) -> Any:
        """Return an object of one of the script's classes."""
        file, node = self.classes[name]
        constructor = method_of(node, "__init__")
        base = base_name(node)
        if base.endswith(("Linear", "Embedding")):
            return self.inherited(name, base, call, scope)
        if constructor is None:
            return self.construct(base, call, scope) if base in self.classes and base != name else Module(name)
        module = Module(name)
        self.set_class_constants(name, module)
        outer, self.file = self.file, file
        self.enter(module, name, constructor, call, scope)
        self.file = outer
        return module

    def set_class_constants(self, name: str, module: Module) -> None:
        """Set the attributes that a class and its first bases give to all objects."""
        for _ in range(MOST_DEPTH):
            if name not in self.classes:
                return
            node, own = self.classes[name][1], Scope()
            for part in node.body:
                self.assign_constant(part, own)
            module.attributes = own | module.attributes
            name = base_name(node)

    def inherited(self, name: str, base: str, call: ast.Call, scope: Scope) -> Any:
        """Return an object of a class that derives from nn.Linear or nn.Embedding."""
        arguments = [self.value(each, scope) for each in call.args]
        keywords = {each.arg: self.value(each.value, scope) for each in call.keywords if each.arg}
        made = self.module_of_torch(base, arguments, keywords, f"{self.file}:{call.lineno}")
        if isinstance(made, Module):
            made.name = name
        return made

    def enter(self, module: Module, owner: str, function: ast.FunctionDef, call: ast.Call, scope: Scope) -> None:
        """Follow a method of a class with the arguments of a call."""
        if self.depth > MOST_DEPTH:
            return
        inside: Scope = {"self": module, "class": owner}
        names = [each.arg for each in (*function.args.posonlyargs, *function.args.args)][1:]
        defaults = function.args.defaults
        for name, default in zip(names[len(names) - len(defaults) :], defaults, strict=False):
            inside[name] = self.value(default, {})
        for argument, keyword_default in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True):
            if keyword_default is not None:
                inside[argument.arg] = self.value(keyword_default, {})
        inside |= dict(zip(names, (self.value(each, scope) for each in call.args), strict=False))
        inside |= {each.arg: self.value(each.value, scope) for each in call.keywords if each.arg}
        self.depth += 1
        self.run(function.body, inside)
        self.depth -= 1


def reads_environment(node: ast.AST) -> bool:
    """Return whether code names the environment."""
    names = (getattr(part, "attr", getattr(part, "id", "")) for part in ast.walk(node))
    return any(name in ("environ", "getenv") for name in names)


def has_tensors(node: ast.AST) -> bool:
    """Return whether code makes learned tensors."""
    return any(isinstance(part, ast.Call) and makes_tensor(part.func) for part in ast.walk(node))


def base_name(node: ast.ClassDef) -> str:
    """Return the name of a class's first base, without its module; empty if there is none."""
    match node.bases:
        case [ast.Attribute(attr=name) | ast.Name(id=name), *_]:
            return name
    return ""


def number_or_text(value: Hyperparameter) -> Any:
    """Return a value as a whole number, a number or a text."""
    found = value.value
    return int(found) if isinstance(found, float) and found == int(found) else found


def method_of(node: ast.ClassDef, name: str) -> ast.FunctionDef | None:
    """Return a class's own method."""
    return next((each for each in node.body if isinstance(each, ast.FunctionDef) and each.name == name), None)


def outside_classes(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that are in no class."""
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.ClassDef):
            yield node
            yield from outside_classes(node)
