"""The values that occur while a script's constructors are followed.

Numbers, texts, lists and dictionaries are Python's own; tensors, modules and functions are those below.
"""

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final


class Unknown:
    """A value that is not computed."""

    def __bool__(self) -> bool:
        return False


UNKNOWN: Final = Unknown()
"""A value that is not computed and holds no learned tensor, such as a number from a file."""
OPAQUE: Final = Unknown()
"""A value that is not computed and may hold learned tensors."""


class TooLong(Exception):
    """The code takes more steps than a model's constructor."""


@dataclass(eq=False, slots=True)
class Shape:
    """A tensor that is not learned, by its number of values; None is unknown."""

    size: int | None


@dataclass(eq=False, slots=True)
class Learned:
    """A learned tensor: its number of values, None if unknown, and its place in the script."""

    size: int | None
    place: str


class Members(list[Any]):
    """An nn.ModuleList, nn.ParameterList or nn.Sequential; modules in a plain list are no part of a model."""


class Named(dict[str, Any]):
    """An nn.ModuleDict or nn.ParameterDict."""


@dataclass(eq=False, slots=True)
class Frame:
    """The names of a running function, or of a module, a class or a function that is not run statement by statement."""

    file: str
    outer: "Frame | None" = None
    names: dict[str, Any] = field(default_factory=dict)
    bindings: Mapping[str, Sequence["Binding"]] = field(default_factory=dict)
    """Statements that give a name its value; they are evaluated when the name is looked up."""
    instance: Any = None
    """The object whose method runs."""
    owner: "ScriptClass | None" = None
    """The class that defines the running method, or whose body this is."""
    returned: Any = None


@dataclass(frozen=True, slots=True)
class Binding:
    """A statement that gives a name its value."""

    node: ast.AST | None
    """A class, a function, an import alias or an expression; None if the value is not followed."""
    is_direct: bool
    """Whether the statement is in no branch and no loop."""


@dataclass(eq=False, slots=True)
class ScriptClass:
    """A class of the script."""

    node: ast.ClassDef
    frame: Frame
    """Its body; the frame outside is that of its definition."""

    @property
    def name(self) -> str:
        return self.node.name


@dataclass(eq=False, slots=True)
class ScriptFunction:
    """A function, lambda or method of the script."""

    node: ast.FunctionDef | ast.Lambda
    frame: Frame
    """Where it is defined."""
    owner: ScriptClass | None = None
    instance: Any = None
    """The object or class that a method is bound to."""


@dataclass(eq=False, slots=True)
class Object:
    """An object of one of the script's classes, or of torch.nn."""

    name: str
    kind: ScriptClass | None = None
    is_module: bool = True
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class External:
    """Something that the script imports, or that Python has, by its dotted name."""

    path: str

    @property
    def last(self) -> str:
        return self.path.rpartition(".")[2]


@dataclass(eq=False, slots=True)
class Partial:
    """A function with some of its arguments."""

    function: Any
    arguments: list[Any]
    keywords: dict[str, Any]


@dataclass(eq=False, slots=True)
class Method:
    """A method that torch or Python defines, with its object."""

    owner: Any
    name: str


@dataclass(eq=False, slots=True)
class Super:
    """What `super()` gives: an object, seen as one of the base classes of a class."""

    instance: Any
    owner: ScriptClass


def inside(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the parts of a value that torch registers, with their names."""
    if isinstance(value, Object) and value.is_module:
        yield from value.attributes.items()
    elif isinstance(value, Members):
        yield from ((str(index), each) for index, each in enumerate(value))
    elif isinstance(value, Named):
        yield from value.items()


def may_hold(value: Any) -> bool:
    """Return whether a value may hold learned tensors, or make them when it is called or changed."""
    return value is OPAQUE or isinstance(
        value, Learned | Object | list | dict | tuple | ScriptClass | ScriptFunction | Partial | Method
    )
