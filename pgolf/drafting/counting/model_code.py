"""Counts the learned tensors that a script's model has with given values, by following its constructors.

Nothing is executed. Code that is not followed, and may add or remove a tensor, makes the model uncertain: it then has
no number of parameters.
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pgolf.drafting.counting.bindings import attributes_changed, bindings_of
from pgolf.drafting.counting.calls import is_plain_base, number_or_text
from pgolf.drafting.counting.certainty import is_same
from pgolf.drafting.counting.changes import changing_calls
from pgolf.drafting.counting.objects import (
    UNKNOWN,
    External,
    Frame,
    Learned,
    Object,
    ScriptClass,
    TooLong,
    Unknown,
    inside,
)
from pgolf.drafting.counting.statements import CodeReader
from pgolf.drafting.values import Hyperparameter
from pgolf.scripts.methods import in_words
from pgolf.scripts.program import ScriptProgram

# Classes whose tensors are no part of the stored model.
OTHER_CLASSES = ("lora", "optimizer", "muon", "ttt", "slot")
TOO_LONG = "its constructors take too many steps"


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
    doubt: str | None = None
    """Why its tensors are not known, as in `train.py:90 is not followed`; None if they are."""

    @property
    def is_certain(self) -> bool:
        """Return whether these are all tensors of the model."""
        return self.doubt is None

    @property
    def parameters(self) -> int | None:
        """Number of parameters; None if it is uncertain, or a size is unknown."""
        sizes = [tensor.size for tensor in self.tensors]
        return None if not self.is_certain or None in sizes else sum(filter(None, sizes))


@dataclass(frozen=True, slots=True)
class RootCall:
    """A call outside the classes of modules that constructs a module."""

    kind: ScriptClass
    call: ast.Call
    frame: Frame
    change: ast.AST | None
    """Where the calling function changes the module afterwards; None if it does not."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A module that a call constructs, which may be the model."""

    name: str
    place: str
    model: ScriptModel
    constructed: frozenset[str]
    """Names of all classes that were constructed."""

    @property
    def size(self) -> int:
        return sum(tensor.size or 0 for tensor in self.model.tensors)

    @property
    def has_sizes(self) -> bool:
        """Return whether the size of every tensor that was found is known."""
        return all(tensor.size is not None for tensor in self.model.tensors)


def model_of(
    program: ScriptProgram, values: Mapping[str, Hyperparameter], logged_parameters: int | None
) -> ScriptModel | None:
    """Return the model that a script constructs with these values; None if it has no class of a module.

    A model with as many parameters as a log of the script prints is the script's, whatever was not followed.
    """
    try:
        reader = CodeReader(program.trees, values)
        read_settings(reader, program, values)
        found = list(candidates(reader, program))
    except (TooLong, RecursionError):
        return ScriptModel((), TOO_LONG)
    inner = {name for each in found for name in each.constructed if name != each.name}
    found = [each for each in found if each.name not in inner]
    roots = [each for each in found if each.model.tensors] or found
    if not roots:
        return None
    if confirmed := next((each for each in roots if each.size == logged_parameters and each.has_sizes), None):
        return ScriptModel(confirmed.model.tensors)
    largest = max(roots, key=lambda each: each.size)
    others = [each for each in roots if sizes_of(each.model) != sizes_of(largest.model)]
    doubt = next((each.model.doubt for each in roots if each.model.doubt), None)
    if doubt is None and others:
        doubt = f"{largest.place} constructs {largest.name}, and {others[0].place} a different {others[0].name}"
    return ScriptModel(largest.model.tensors, doubt)


def sizes_of(model: ScriptModel) -> list[tuple[str, int | None]]:
    """Return the paths and sizes of a model's tensors."""
    return [(tensor.path, tensor.size) for tensor in model.tensors]


def candidates(reader: CodeReader, program: ScriptProgram) -> Iterator[Candidate]:
    """Yield the modules that code outside their classes constructs; without such calls, those of all classes.

    Raises:
        TooLong: there is more code than in a model.
    """
    classes = module_classes(reader, program)
    calls = [call for file, tree in program.trees.items() for call in root_calls(reader, file, tree, classes)]
    calls = calls or [RootCall(kind, bare_call(kind), kind.frame, None) for kind in classes.values()]
    for each in calls:
        if is_other(each.kind.name):
            continue
        reader.doubt, reader.constructed = None, set()
        module = reader.value(each.call, each.frame)
        if each.change is not None:
            reader.note_unfollowed(each.change, each.frame)
        if isinstance(module, Unknown):
            reader.note_unfollowed(each.call, each.frame)
        tensors = tuple(tensors_of(module))
        place = f"{each.frame.file}:{each.call.lineno}"
        yield Candidate(each.kind.name, place, ScriptModel(tensors, reader.doubt), frozenset(reader.constructed))


def bare_call(kind: ScriptClass) -> ast.Call:
    """Return a call of a class without arguments."""
    name = ast.Name(kind.name, ast.Load())
    return ast.copy_location(ast.Call(name, [], []), kind.node)


def is_other(name: str) -> bool:
    """Return whether a class is named like an optimizer or an adapter."""
    return any(word in OTHER_CLASSES for word in in_words(name).split())


def module_classes(reader: CodeReader, program: ScriptProgram) -> dict[str, ScriptClass]:
    """Return the classes of modules by name."""
    return {kind.name: kind for kind in script_classes(reader, program) if reader.is_module(kind)}


def script_classes(reader: CodeReader, program: ScriptProgram) -> Iterator[ScriptClass]:
    """Yield the classes that the files of a script define outside functions."""
    for file in program.trees:
        frame = reader.modules[file]
        for name, bindings in frame.bindings.items():
            if any(isinstance(each.node, ast.ClassDef) for each in bindings):
                kind = reader.named(name, frame)
                if isinstance(kind, ScriptClass):
                    yield kind


def root_calls(
    reader: CodeReader, file: str, tree: ast.Module, classes: Mapping[str, ScriptClass]
) -> Iterator[RootCall]:
    """Yield the calls in a file, outside the classes of modules, that construct a module."""
    waiting: list[tuple[ast.AST, Frame, ast.AST]] = [(tree, reader.modules[file], tree)]
    while waiting:
        node, frame, function = waiting.pop()
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef) and child.name in classes:
                continue
            inner, around = frame, function
            if isinstance(child, ast.FunctionDef):
                inner, around = Frame(file, frame, bindings=bindings_of(child.body, child.args)), child
            if isinstance(child, ast.Call) and isinstance(child.func, ast.Name) and child.func.id in classes:
                kind = reader.named(child.func.id, frame)
                if isinstance(kind, ScriptClass):
                    yield RootCall(kind, child, frame, change_of(child, function))
            waiting.append((child, inner, around))


def change_of(call: ast.Call, function: ast.AST) -> ast.AST | None:
    """Return where a function changes the tensors of a module that a call in it constructs; None if it does not."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and any(each is call for each in ast.walk(node.value)):
            names = {each.id for target in node.targets for each in ast.walk(target) if isinstance(each, ast.Name)}
            return next(changing_calls(function, names), None)
    return None


def tensors_of(module: Any) -> Iterator[ModelTensor]:
    """Yield each learned tensor of a module once, as torch's parameters() does."""
    waiting, seen = [(module, module.name if isinstance(module, Object) else "")], set[int]()
    while waiting:
        value, path = waiting.pop()
        if id(value) in seen:
            continue
        if isinstance(value, Learned):
            seen.add(id(value))
            yield ModelTensor(path, value.size, value.place)
            continue
        parts = [(member, f"{path}.{name}") for name, member in inside(value)]
        if parts:
            seen.add(id(value))
        waiting += reversed(parts)


def read_settings(reader: CodeReader, program: ScriptProgram, values: Mapping[str, Hyperparameter]) -> None:
    """Read the settings that stand for the attributes of unknown objects, such as a function's parameter `args`.

    They are the constants of classes that are no modules, and what classes that read the environment assign. A name to
    which two classes give different values is unknown, and so is one that other code changes.
    """
    found: dict[str, Any] = {}
    for kind in script_classes(reader, program):
        if not reader.is_module(kind) and not is_library_class(reader, kind):
            for name, value in settings_of(reader, kind).items():
                found[name] = value if name not in found or is_same(found[name], value) else UNKNOWN
    reader.settings = {name.lower(): number_or_text(value) for name, value in values.items()} | found
    reader.changed = {name for tree in program.trees.values() for name in attributes_changed(tree)}


def is_library_class(reader: CodeReader, kind: ScriptClass) -> bool:
    """Return whether a class derives from another than Python's, as an optimizer does."""
    bases = [each for each in reader.linearized(kind) if isinstance(each, External)]
    return any(each.path.startswith("torch.") and is_plain_base(each) for each in bases)


def settings_of(reader: CodeReader, kind: ScriptClass) -> dict[str, Any]:
    """Return the constants of a class, and what it assigns to its objects if it reads the environment."""
    found: dict[str, Any] = {}
    frame = Frame(kind.frame.file, kind.frame)
    for part in ast.walk(kind.node) if reads_environment(kind.node) else kind.node.body:
        match part:
            case ast.Assign(targets=[ast.Name(id=name) | ast.Attribute(attr=name)], value=expression):
                pass
            case ast.AnnAssign(target=ast.Name(id=name) | ast.Attribute(attr=name), value=ast.expr() as expression):
                pass
            case _:
                continue
        found[name] = frame.names[name] = reader.outside(lambda each=expression: reader.value(each, frame))  # type: ignore[misc]
    return found


def reads_environment(node: ast.AST) -> bool:
    """Return whether code names the environment."""
    names = (getattr(part, "attr", getattr(part, "id", "")) for part in ast.walk(node))
    return any(name in ("environ", "getenv") for name in names)
