"""Follows calls: constructors and functions of the script, modules of torch.nn, and methods that add tensors."""

import ast
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from pgolf.drafting.counting.arithmetic import (
    KEPT,
    MATHEMATICS,
    MOST_ITEMS,
    PLAIN,
    SHALLOW,
    TEXT_METHODS,
    count_values,
    is_number,
    is_plain,
    tensor_of,
)
from pgolf.drafting.counting.bindings import all_parameters
from pgolf.drafting.counting.changes import FUNCTIONAL, changes_modules
from pgolf.drafting.counting.expressions import ERRORS, ExpressionReader, is_decorated
from pgolf.drafting.counting.objects import (
    OPAQUE,
    UNKNOWN,
    External,
    Frame,
    Learned,
    Members,
    Method,
    Named,
    Object,
    Partial,
    ScriptClass,
    ScriptFunction,
    Shape,
    Super,
    Unknown,
    may_hold,
)
from pgolf.drafting.counting.torch_modules import DICTIONARIES, LISTS, TORCH_MODULES, WITHOUT_TENSORS, tensors_of_torch
from pgolf.drafting.values import Hyperparameter

MOST_DEPTH = 24
"""Most calls inside each other."""
# Packages whose functions return no learned tensors and add none, except those of torch.nn.
HARMLESS = sys.stdlib_module_names | {"torch", "numpy", "np", "sentencepiece", "triton", "builtins"}
HARMFUL = ("torch.nn", "builtins.exec", "builtins.eval", "builtins.vars", "builtins.locals", "builtins.globals",
           "builtins.map", "builtins.filter", "builtins.iter", "builtins.next", "copy", "operator", "itertools",
           "functools", "collections", "importlib", "torch.load", "torch.jit")  # fmt: skip
# Methods of modules that add no tensors; those that return the module itself, and others.
FLUENT = frozenset((
    "to", "cuda", "cpu", "float", "double", "half", "bfloat16", "type", "train", "eval", "requires_grad_",
    "compile", "to_empty",
))  # fmt: skip
OTHERWISE = frozenset((
    "parameters", "named_parameters", "modules", "named_modules", "children", "named_children", "buffers",
    "named_buffers", "state_dict", "register_buffer", "zero_grad", "size", "numel", "dim", "item", "tolist",
    "get_parameter",
))  # fmt: skip
MODULE_METHODS = FLUENT | OTHERWISE | {"add_module", "register_module", "register_parameter", "apply"}
LIST_METHODS = ("append", "extend", "insert", "pop", "reverse", "index", "count", "clear", "copy")
DICTIONARY_METHODS = ("items", "keys", "values", "get", "update", "pop", "setdefault", "copy", "clear")
# Methods that change what a constructor and an assignment do.
HOOKS = ("__new__", "__setattr__", "__delattr__", "__init_subclass__", "register_parameter", "add_module")
PLAIN_BASES = ("object", "ABC", "Protocol", "Generic", "NamedTuple", "Enum", "IntEnum", "StrEnum", "Exception")


class CallReader(ExpressionReader):
    """Follows calls. How statements are followed is left to a derived class."""

    def __init__(self, modules: Mapping[str, ast.Module], values: Mapping[str, Hyperparameter]) -> None:
        super().__init__(modules)
        self.values, self.depth = values, 0
        self.constructed: set[str] = set()

    def run_body(self, body: Sequence[ast.stmt], frame: Frame) -> None:
        """Follow the statements of a function."""
        raise NotImplementedError

    def called(self, call: ast.Call, frame: Frame) -> Any:
        """Return what a call gives; note it if it may add tensors and is not followed."""
        arguments = self.listed(call.args, frame)
        keywords: dict[str, Any] = {}
        for each in call.keywords:
            given = self.value(each.value, frame)
            if each.arg is not None:
                keywords[each.arg] = given
            elif isinstance(given, dict):
                keywords |= given
            else:
                arguments = OPAQUE
        target = self.target(call.func, frame)
        if target == External("builtins.super") and frame.owner is not None:
            return Super(frame.instance, frame.owner)
        if arguments is OPAQUE:
            return self.unfollowed(call, frame, target)
        place = f"{frame.file}:{call.lineno}"
        found = self.call(target, arguments, keywords, place)
        if found is NOT_FOLLOWED:
            owner = target.owner if isinstance(target, Method) else None
            return self.unfollowed(call, frame, owner, *arguments, *keywords.values())
        return found

    def unfollowed(self, call: ast.Call, frame: Frame, *involved: Any) -> Any:
        """Return OPAQUE, and note the call if it may change a module or a list of modules."""
        if ast.unparse(call.func) == "exec" or any(isinstance(each, Object | list | dict | Super) for each in involved):
            self.note_unfollowed(call, frame)
        return OPAQUE

    def target(self, function: ast.expr, frame: Frame) -> Any:
        """Return what is called."""
        if not isinstance(function, ast.Attribute):
            return self.value(function, frame)
        owner = self.value(function.value, frame)
        found = self.attribute(owner, function.attr)
        return Method(owner, function.attr) if isinstance(found, Unknown) else found

    def call(self, target: Any, arguments: list[Any], keywords: dict[str, Any], place: str) -> Any:
        """Return what a call of a value gives; NOT_FOLLOWED if that is not known."""
        name = arguments[0] if arguments and isinstance(target, External | ScriptFunction) else None
        if isinstance(name, str) and name in self.values:
            return number_or_text(self.values[name])  # it reads the environment
        match target:
            case ScriptClass():
                return self.construct(target, arguments, keywords, place)
            case ScriptFunction():
                return self.call_function(target, arguments, keywords, place)
            case Partial(function=function, arguments=first, keywords=others):
                return self.call(function, [*first, *arguments], others | keywords, place)
            case Method(owner=owner, name=name):
                return self.call_method(owner, name, arguments, keywords, place)
            case External():
                return self.call_external(target, arguments, keywords, place)
        return NOT_FOLLOWED

    # Functions and classes of the script

    def call_function(
        self, function: ScriptFunction, arguments: list[Any], keywords: dict[str, Any], place: str
    ) -> Any:
        """Follow a function of the script and return what it returns."""
        node = function.node
        if self.depth > MOST_DEPTH or (not isinstance(node, ast.Lambda) and is_generator(node)):
            return NOT_FOLLOWED
        frame = Frame(function.frame.file, function.frame, instance=function.instance, owner=function.owner)
        bound = [] if function.instance is None else [function.instance]
        if (
            function.instance is None
            and function.owner is not None
            and arguments
            and not is_decorated(function, "staticmethod")
        ):
            frame.instance = arguments[0]  # `Base.__init__(self)`
        if not self.bind(function, [*bound, *arguments], keywords, frame):
            return NOT_FOLLOWED
        self.depth += 1
        if isinstance(node, ast.Lambda):
            frame.returned = self.value(node.body, frame)
        else:
            self.run_body(node.body, frame)
        self.depth -= 1
        return frame.returned

    def bind(self, function: ScriptFunction, arguments: list[Any], keywords: dict[str, Any], frame: Frame) -> bool:
        """Give the parameters of a function their values; return whether the arguments fit."""
        signature = function.node.args
        names = [each.arg for each in (*signature.posonlyargs, *signature.args)]
        defaults = dict(zip(names[len(names) - len(signature.defaults) :], signature.defaults, strict=True))
        by_name = dict(zip([each.arg for each in signature.kwonlyargs], signature.kw_defaults, strict=True))
        for name, default in (defaults | by_name).items():
            if default is not None:
                frame.names[name] = self.value(default, function.frame)
        frame.names |= dict(zip(names, arguments, strict=False))
        rest, others = arguments[len(names) :], {k: v for k, v in keywords.items() if k not in {*names, *by_name}}
        frame.names |= {name: value for name, value in keywords.items() if name not in others}
        if signature.vararg is not None:
            frame.names[signature.vararg.arg] = rest
        if signature.kwarg is not None:
            frame.names[signature.kwarg.arg] = others
        fits = (not rest or signature.vararg is not None) and (not others or signature.kwarg is not None)
        for each in all_parameters(signature):
            frame.names.setdefault(each.arg, UNKNOWN)
        return fits

    def construct(self, kind: ScriptClass, arguments: list[Any], keywords: dict[str, Any], place: str) -> Any:
        """Return an object of one of the script's classes."""
        if "__init__" in self.changed or any(
            name in each.frame.bindings for each in self.own_classes(kind) for name in HOOKS
        ):
            return NOT_FOLLOWED
        made = Object(kind.name, kind, self.is_module(kind))
        self.constructed.add(kind.name)
        constructor = self.attribute_of_class(kind, "__init__", made)
        if isinstance(constructor, ScriptFunction):
            found = self.call_function(constructor, arguments, keywords, place)
            return NOT_FOLLOWED if found is NOT_FOLLOWED else made
        if made.is_module:
            return made if self.construct_base(made, None, arguments, keywords, place) else NOT_FOLLOWED
        fields = self.fields_of(kind)
        made.attributes |= fields | dict(zip(fields, arguments, strict=False)) | keywords
        after = self.attribute_of_class(kind, "__post_init__", made)
        if isinstance(after, ScriptFunction):
            self.call_function(after, [], {}, place)
        return made

    def own_classes(self, kind: ScriptClass) -> list[ScriptClass]:
        """Return a class and its bases in the script."""
        return [each for each in self.linearized(kind) if isinstance(each, ScriptClass)]

    def fields_of(self, kind: ScriptClass) -> dict[str, Any]:
        """Return the fields of a dataclass with their defaults, in the order of its constructor."""
        found: dict[str, Any] = {}
        for each in reversed(self.linearized(kind)):
            for part in each.node.body if isinstance(each, ScriptClass) else ():
                if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
                    found[part.target.id] = (
                        UNKNOWN if part.value is None else self.field_default(part.value, each.frame)
                    )
        return found

    def field_default(self, node: ast.expr, frame: Frame) -> Any:
        if isinstance(node, ast.Call) and self.target(node.func, frame) == External("dataclasses.field"):
            given = {each.arg: self.value(each.value, frame) for each in node.keywords}
            factory = given.get("default_factory")
            return self.call(factory, [], {}, frame.file) if factory is not None else given.get("default", UNKNOWN)
        return self.value(node, frame)

    def is_module(self, kind: ScriptClass) -> bool:
        """Return whether a class derives from one of torch.nn's, or from one that is not known."""
        bases = [each for each in self.linearized(kind) if not isinstance(each, ScriptClass)]
        return any(each is OPAQUE or (isinstance(each, External) and not is_plain_base(each)) for each in bases)

    def construct_base(
        self, made: Object, after: ScriptClass | None, arguments: list[Any], keywords: dict[str, Any], place: str
    ) -> bool:
        """Add the tensors of the class of torch.nn from which an object's class derives; return whether it is known."""
        assert made.kind is not None
        classes = self.linearized(made.kind)
        bases = classes[classes.index(after) + 1 :] if after is not None else classes
        for base in bases:
            if isinstance(base, ScriptClass) or (isinstance(base, External) and is_plain_base(base)):
                continue
            if not isinstance(base, External) or not base.path.startswith("torch.nn."):
                return False
            if base.last in TORCH_MODULES:
                made.attributes |= tensors_of_torch(base.last, arguments, keywords, place)
            elif base.last not in WITHOUT_TENSORS:
                return False
        return True

    # Methods

    def call_method(self, owner: Any, name: str, arguments: list[Any], keywords: dict[str, Any], place: str) -> Any:
        """Return what a method gives that Python or torch defines."""
        match owner:
            case Super(instance=Object(is_module=False)) if name == "__init__":
                return UNKNOWN
            case Super(instance=Object() as instance, owner=after) if name == "__init__":
                return UNKNOWN if self.construct_base(instance, after, arguments, keywords, place) else NOT_FOLLOWED
            case Super(instance=instance):
                return self.call_method(instance, name, arguments, keywords, place)
            case str() if name in TEXT_METHODS:
                return getattr(owner, name)(*arguments) if is_plain(arguments) else UNKNOWN
            case Shape() | Learned():
                return self.call_tensor_method(owner, name)
            case Object() | Members() | Named() if name in MODULE_METHODS:
                return self.call_module_method(owner, name, arguments)
            case list() | dict():
                return NOT_FOLLOWED if keywords else self.call_collection_method(owner, name, arguments)
            case Object():
                return NOT_FOLLOWED
        return NOT_FOLLOWED if owner is OPAQUE or isinstance(owner, External) else UNKNOWN

    def call_module_method(self, owner: Any, name: str, arguments: list[Any]) -> Any:
        """Return what a method of nn.Module gives."""
        match name, arguments:
            case (("add_module" | "register_module" | "register_parameter"), [str(attribute), value]):
                if not isinstance(owner, Object) or value is OPAQUE:
                    return NOT_FOLLOWED
                owner.attributes[attribute] = value
                return UNKNOWN
            case "apply", [ScriptFunction() | External() as function]:
                return NOT_FOLLOWED if changes_modules(function) else owner
        if name in FLUENT:
            return owner
        return UNKNOWN if name in OTHERWISE else NOT_FOLLOWED

    def call_collection_method(self, owner: list[Any] | dict[Any, Any], name: str, arguments: list[Any]) -> Any:
        """Return what a method of a list or a dictionary gives, and change it as the method does."""
        if isinstance(owner, Members | Named) and any(isinstance(each, Shape) for each in arguments):
            return NOT_FOLLOWED  # a list of parameters makes one of it
        if isinstance(owner, list):
            is_known = name in LIST_METHODS and len(owner) < MOST_ITEMS
            is_known = is_known and (name != "extend" or isinstance(arguments[0], list | tuple))
            return applied(list, name, owner, arguments) if is_known else NOT_FOLLOWED
        if name not in DICTIONARY_METHODS or any(isinstance(each, Unknown) for each in arguments[:1]):
            return NOT_FOLLOWED
        found = applied(dict, name, owner, arguments)
        return [list(each) if isinstance(each, tuple) else each for each in found] if name in VIEWS else found

    def call_tensor_method(self, owner: Shape | Learned, name: str) -> Any:
        """Return what a method of a tensor gives; those that end in an underscore return the tensor itself."""
        if name.endswith("_"):
            return owner
        return Shape(owner.size if name in KEPT else None)

    # Functions of torch and Python

    def call_external(self, target: External, arguments: list[Any], keywords: dict[str, Any], place: str) -> Any:
        """Return what something gives that the script imports, or that Python has."""
        path, name = target.path, target.last
        if path.startswith("torch.nn.") and not path.startswith(FUNCTIONAL):
            return self.call_torch(target, arguments, keywords, place)
        if path.startswith("torch.nn.init."):
            return arguments[0] if arguments else UNKNOWN
        if path in ("torch.compile", "torch.jit.script") and arguments:
            return arguments[0]
        if path == "functools.partial":
            return Partial(arguments[0], arguments[1:], keywords)
        if path == "copy.deepcopy":
            return copied(arguments[0], {})
        if path.startswith("builtins."):
            return self.call_builtin(name, arguments, keywords)
        if path == "collections.OrderedDict":
            return self.call_builtin("dict", arguments, keywords)
        if path in MATHEMATICS:
            return MATHEMATICS[path](*arguments) if is_plain(arguments) and not keywords else UNKNOWN
        if path.startswith("torch.") and not path.startswith(HARMFUL):
            given = arguments or [keywords.get(key) for key in ("size", "data", "tensors") if key in keywords]
            return tensor_of(name, given) or UNKNOWN
        is_harmless = path.partition(".")[0] in HARMLESS and not path.startswith(HARMFUL)
        return UNKNOWN if is_harmless else NOT_FOLLOWED

    def call_torch(self, target: External, arguments: list[Any], keywords: dict[str, Any], place: str) -> Any:
        """Return a module or a parameter that torch.nn makes."""
        name = target.last
        first = arguments[0] if arguments else next(iter(keywords.values()), None)
        if target.path in ("torch.nn.Parameter", "torch.nn.parameter.Parameter"):
            return Learned(count_values(arguments[0] if arguments else keywords.get("data")), place)
        if target.path == "torch.nn.Module.__init__":
            return UNKNOWN
        if target.path.count(".") != 2 and not target.path.startswith("torch.nn.modules."):
            return NOT_FOLLOWED
        if name in TORCH_MODULES:
            return Object(name, None, True, tensors_of_torch(name, arguments, keywords, place))
        if name == "Sequential" and not (len(arguments) == 1 and isinstance(first, dict)):
            return Members(arguments)
        if name in LISTS or name in DICTIONARIES:
            return contained(name, first, place)
        return Object(name) if name in WITHOUT_TENSORS else NOT_FOLLOWED

    def call_builtin(self, name: str, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        match name, arguments:
            case "getattr", [owner, str(attribute), *default]:
                found = self.attribute(owner, attribute)
                return (
                    default[0] if default and isinstance(found, Unknown) and not isinstance(owner, Unknown) else found
                )
            case "setattr", [owner, str(attribute), value] if isinstance(owner, Object) and value is not OPAQUE:
                owner.attributes[attribute] = value
                return UNKNOWN
            case "hasattr", [Object() as owner, str(attribute)] if not isinstance(
                self.attribute(owner, attribute), Unknown
            ):
                return True
            case (("setattr" | "delattr"), _):
                return NOT_FOLLOWED
            case "dict", _:
                pairs = arguments[0] if arguments else {}
                is_known = isinstance(pairs, dict | list) and not any(each is OPAQUE for each in pairs)
                return {**dict(pairs), **keywords} if is_known else NOT_FOLLOWED
        return self.call_plain(name, arguments, keywords)

    def call_plain(self, name: str, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        """Return what a function gives that computes with numbers, texts and lists."""
        if name not in PLAIN:
            return NOT_FOLLOWED if f"builtins.{name}" in HARMFUL else UNKNOWN
        is_shallow = name in SHALLOW and not any(isinstance(each, Unknown) for each in arguments)
        if (is_shallow or is_plain(arguments)) and not keywords:
            return PLAIN[name](*arguments)
        return NOT_FOLLOWED if any(map(may_hold, arguments)) else UNKNOWN


class _NotFollowed(Unknown):
    """What a call gives that is not followed."""


NOT_FOLLOWED = _NotFollowed()
VIEWS = ("items", "keys", "values")


def contained(name: str, members: Any, place: str) -> Any:
    """Return a container of torch.nn with these members; tensors in a list of parameters become parameters."""
    if members is None:
        members = {} if name in DICTIONARIES else []
    if isinstance(members, dict):
        return Named({key: learned(each, place) for key, each in members.items()})
    is_known = isinstance(members, list | tuple) and name in LISTS
    return Members([learned(each, place) for each in members]) if is_known else NOT_FOLLOWED


def learned(value: Any, place: str) -> Any:
    """Return a tensor as a parameter, and everything else as it is."""
    return Learned(value.size, place) if isinstance(value, Shape) else value


def applied(kind: type, name: str, owner: Any, arguments: list[Any]) -> Any:
    """Return what a method of a list or a dictionary gives."""
    try:
        found = getattr(kind, name)(owner, *arguments)
    except ERRORS:
        return NOT_FOLLOWED
    return UNKNOWN if found is None and name not in ("get", "pop", "setdefault") else found


def copied(value: Any, copies: dict[int, Any]) -> Any:
    """Return a copy of a module with copies of its tensors, or of a list of modules."""
    if id(value) in copies:
        return copies[id(value)]
    found = value
    match value:
        case Object():
            found = copies[id(value)] = Object(value.name, value.kind, value.is_module)
            found.attributes |= {name: copied(each, copies) for name, each in value.attributes.items()}
        case Learned():
            found = Learned(value.size, value.place)
        case dict():
            found = type(value)({name: copied(each, copies) for name, each in value.items()})
        case list():
            found = type(value)([copied(each, copies) for each in value])
    copies[id(value)] = found
    return found


def is_plain_base(base: External) -> bool:
    """Return whether a base class is one of Python's, or an optimizer."""
    return (
        base.last in PLAIN_BASES
        or base.path.partition(".")[0] in HARMLESS - {"torch"}
        or base.path.startswith(("torch.optim", "torch.utils", "torch.autograd"))
    )


def is_generator(node: ast.FunctionDef) -> bool:
    return any(isinstance(each, ast.Yield | ast.YieldFrom) for each in ast.walk(node))


def number_or_text(value: Hyperparameter) -> Any:
    """Return a value as a whole number, a number or a text."""
    found = value.value
    return int(found) if isinstance(found, float) and found.is_integer() and is_number(found) else found
