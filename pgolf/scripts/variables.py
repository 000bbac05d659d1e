"""The environment variables that a script reads, found in its text. Nothing is executed.

A name counts as read where it reaches `os.environ` or `os.getenv` as a constant: directly, through an alias, in a loop
over constants, or as the argument of a helper that the script defines for it.
"""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

# What Python, torch, CUDA and their companions read themselves.
OF_LIBRARIES = re.compile(
    r"(?:CUDA|NCCL|SLURM|MODAL|RUNPOD|TORCH|TORCHINDUCTOR|TORCHELASTIC|PYTORCH|PYTHON|OMP|MKL|KMP|GLOO|TRITON|CUBLAS|CUDNN|HF|WANDB|UV|XDG|LD"
    r"|NVIDIA|TOKENIZERS|TRANSFORMERS|NUMEXPR|OPENBLAS|FLASH_ATTENTION|FLASH_ATTN)_[A-Z0-9_]+|TMPDIR|CC|CXX|HOME|PATH|USER"
)
OF_LAUNCHERS = re.compile(
    r"(?:(?:LOCAL|GROUP|ROLE|NODE)_)?RANK|(?:(?:LOCAL|GROUP|ROLE)_)?WORLD_SIZE|MASTER_(?:ADDR|PORT)|HOSTNAME"
)
READERS = frozenset({"get", "pop", "setdefault", "__getitem__"})
WALKERS = frozenset({"items", "keys", "values"})
NOTHING = ast.Constant(None)


@dataclass(frozen=True, slots=True)
class Variable:
    """One place where a variable is read."""

    name: str
    default: str | None
    """As it is written; None where the script fails without it."""
    file: str
    line: int

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(slots=True)
class Reads:
    """What some files read of the environment."""

    variables: list[Variable] = field(default_factory=list)
    """In the order of the files and lines."""
    patterns: dict[str, str] = field(default_factory=dict)
    """Regular expressions of names that are put together when the script runs, and where."""
    walks: list[str] = field(default_factory=list)
    """Places that go through all variables there are."""

    @property
    def names(self) -> list[str]:
        """Each name once."""
        return list(dict.fromkeys(variable.name for variable in self.variables))

    def first(self, name: str) -> Variable:
        """The first place where a variable is read."""
        return next(variable for variable in self.variables if variable.name == name)

    def knows(self, name: str) -> bool:
        """Whether the script, its launcher or a library may read a variable."""
        is_put_together = any(re.fullmatch(pattern, name) for pattern in self.patterns)
        return name in self.names or is_put_together or is_of_machine(name)

    def unset(self, given: Iterable[str]) -> list[Variable]:
        """Variables that are left to their defaults, each once; what the machine sets is none of them."""
        known = set(given)
        return [self.first(name) for name in self.names if name not in known and not is_of_machine(name)]


def is_of_machine(name: str) -> bool:
    """Whether a variable is the launcher's or a library's business."""
    return any(kind.fullmatch(name) for kind in (OF_LAUNCHERS, OF_LIBRARIES))


def variables_read(texts: Mapping[str, str]) -> Reads:
    """What programs read of the environment, by the names of their files.

    Raises: SyntaxError for a text that is no Python.
    """
    found = Reads()
    readers = [FileReader(name, ast.parse(text), found) for name, text in texts.items()]
    helpers = helpers_of(readers)
    for reader in readers:
        reader.read(helpers)
    order = list(texts)
    found.variables = sorted(set(found.variables), key=lambda each: (order.index(each.file), each.line, each.name))
    return found


@dataclass(frozen=True, slots=True)
class Helper:
    """A function that reads the variable which it is given the name of."""

    position: int
    parameter: str
    default_position: int | None
    default_parameter: str | None
    default: ast.expr | None
    """What it takes where the caller gives none."""


def helpers_of(readers: "list[FileReader]") -> dict[str, Helper]:
    """Helpers by name; one that calls another is one as well."""
    known: dict[str, Helper] = {}
    while True:
        more = {name: helper for reader in readers for name, helper in reader.find_helpers(known) if name not in known}
        if not more:
            return known
        known |= more


class FileReader:
    """One file: its names for the environment, and its calls."""

    def __init__(self, name: str, tree: ast.Module, found: Reads) -> None:
        self.name, self.tree, self.found = name, tree, found
        self.mappings, self.getters = {"os.environ"}, {"os.getenv"}
        self.constants: dict[str, set[str]] = {}
        for node in ast.walk(tree):
            self.take_alias(node)

    def take_alias(self, node: ast.AST) -> None:
        """Nothing; names that stand for the environment, and for constants, are known."""
        match node:
            case ast.ImportFrom(module="os", names=names):
                self.mappings |= {alias.asname or alias.name for alias in names if alias.name == "environ"}
                self.getters |= {alias.asname or alias.name for alias in names if alias.name == "getenv"}
            case ast.Import(names=names):
                given = {alias.asname for alias in names if alias.name == "os" and alias.asname}
                self.mappings |= {f"{name}.environ" for name in given}
                self.getters |= {f"{name}.getenv" for name in given}
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                self.take_assignment(name, value)
            case (
                ast.For(target=ast.Name(id=name), iter=values)
                | ast.comprehension(target=ast.Name(id=name), iter=values)
            ):
                words = [each.value for each in getattr(values, "elts", []) if isinstance(each, ast.Constant)]
                self.constants.setdefault(name, set()).update(word for word in words if isinstance(word, str))

    def take_assignment(self, name: str, value: ast.expr) -> None:
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            self.constants.setdefault(name, set()).add(value.value)
        elif self.is_mapping(value):
            self.mappings.add(name)
        elif self.is_getter(value):
            self.getters.add(name)

    def is_mapping(self, node: ast.AST) -> bool:
        """Whether an expression is the environment, or a copy of it."""
        match node:
            case ast.Call(func=ast.Name(id="dict"), args=[inner]):
                return self.is_mapping(inner)
            case ast.Call(func=ast.Attribute(value=inner, attr="copy")):
                return self.is_mapping(inner)
            case ast.Name() | ast.Attribute():
                return ast.unparse(node) in self.mappings
        return False

    def is_getter(self, node: ast.AST) -> bool:
        """Whether an expression is a function that reads a variable."""
        if isinstance(node, ast.Attribute) and node.attr in READERS and self.is_mapping(node.value):
            return True
        return isinstance(node, ast.Name | ast.Attribute) and ast.unparse(node) in self.getters

    def reads_below(self, tree: ast.AST, helpers: Mapping[str, Helper]) -> Iterator[tuple[ast.expr, ast.expr | None]]:
        """Names that are read below a node, as expressions, with their defaults; None where there is none."""
        for node in ast.walk(tree):
            match node:
                case ast.Subscript(value=mapping, slice=name, ctx=ast.Load()) if self.is_mapping(mapping):
                    yield name, None
                case ast.Compare(left=name, ops=[ast.In() | ast.NotIn()], comparators=[mapping]) if self.is_mapping(
                    mapping
                ):
                    yield name, NOTHING
                case ast.Call(func=function, args=[name, *rest]) if self.is_getter(function):
                    named = next((each.value for each in node.keywords if each.arg == "default"), NOTHING)
                    yield name, rest[0] if rest else named
                case ast.Call() if (helper := helpers.get(function_name(node.func))) is not None:
                    yield from arguments_of(node, helper)

    def find_helpers(self, known: Mapping[str, Helper]) -> Iterator[tuple[str, Helper]]:
        """Functions that hand one of their parameters on to the environment."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield from ((node.name, helper) for helper in self.helpers_in(node, node.args, known))
            elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda):
                names = [target.id for target in node.targets if isinstance(target, ast.Name)]
                found = list(self.helpers_in(node.value.body, node.value.args, known))
                yield from ((name, helper) for name in names for helper in found)

    def helpers_in(self, body: ast.AST, signature: ast.arguments, known: Mapping[str, Helper]) -> Iterator[Helper]:
        positional = [*signature.posonlyargs, *signature.args]
        parameters = [each.arg for each in (*positional, *signature.kwonlyargs)]
        own_defaults = dict(
            zip(reversed([each.arg for each in positional]), reversed(signature.defaults), strict=False)
        )
        for name, default in self.reads_below(body, known):
            if isinstance(name, ast.Name) and name.id in parameters:
                handed = default.id if isinstance(default, ast.Name) and default.id in parameters else None
                if handed is None and default is NOTHING:
                    handed = default_among(parameters, name.id)
                yield Helper(
                    parameters.index(name.id) - (parameters[0] in ("self", "cls")),
                    name.id,
                    None if handed is None else parameters.index(handed) - (parameters[0] in ("self", "cls")),
                    handed,
                    default if handed is None else own_defaults.get(handed),
                )
                return

    def read(self, helpers: Mapping[str, Helper]) -> None:
        """Nothing; what this file reads has been noted."""
        inner = {id(part) for part in self.helper_bodies(helpers)}
        for name, default in self.reads_below(self.tree, helpers):
            if isinstance(name, ast.Name) and id(name) in inner:
                continue
            self.note(name, default)
        for node in ast.walk(self.tree):
            is_walk = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in WALKERS
            if is_walk and self.is_mapping(node.func.value):  # type: ignore[attr-defined]
                self.found.walks.append(f"{self.name}:{node.lineno}")  # type: ignore[attr-defined]
            elif isinstance(node, ast.For | ast.comprehension) and self.is_mapping(node.iter):
                self.found.walks.append(f"{self.name}:{node.iter.lineno}")

    def helper_bodies(self, helpers: Mapping[str, Helper]) -> Iterator[ast.AST]:
        """Every node of the helpers' own bodies, where the name is a parameter."""
        for node in ast.walk(self.tree):
            is_lambda = isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda)
            name = node.targets[0] if is_lambda else node  # type: ignore[attr-defined]
            if getattr(name, "name", getattr(name, "id", None)) in helpers and (
                is_lambda or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            ):
                yield from ast.walk(node)

    def note(self, name: ast.expr, default: ast.expr | None) -> None:
        """Nothing; the names that an expression may be are known as read."""
        words = self.words(name)
        for word in words:
            self.found.variables.append(Variable(word, written(default), self.name, name.lineno))
        if not words:
            self.found.patterns.setdefault(pattern_of(name), f"{self.name}:{name.lineno}")

    def words(self, name: ast.expr) -> list[str]:
        """The constants that an expression may be; none where it is put together."""
        match name:
            case ast.Constant(value=str() as word):
                return [word]
            case ast.Name(id=given):
                return sorted(self.constants.get(given, set()))
            case ast.IfExp(body=one, orelse=other):
                return [*self.words(one), *self.words(other)]
        return []


def default_among(parameters: list[str], name: str) -> str | None:
    """The parameter of a helper that is given back where the variable is not set, by its name."""
    others = [each for each in parameters if each != name]
    return next((each for each in others if "default" in each or "fallback" in each), None)


def function_name(function: ast.expr) -> str:
    """The last name of a function: `env`, `self.env`."""
    match function:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def arguments_of(call: ast.Call, helper: Helper) -> Iterator[tuple[ast.expr, ast.expr | None]]:
    """The name that a call gives to a helper, and the default."""
    named = {each.arg: each.value for each in call.keywords}
    name = call.args[helper.position] if helper.position < len(call.args) else named.get(helper.parameter)
    if name is None:
        return
    default = helper.default
    if helper.default_position is not None and helper.default_position < len(call.args):
        default = call.args[helper.default_position]
    elif helper.default_parameter in named:
        default = named[helper.default_parameter]
    yield name, default


def written(default: ast.expr | None) -> str | None:
    """A default as text: a constant as the environment would hold it, anything else as it is written."""
    if default is None:
        return None
    match default:
        case ast.Constant(value=None):
            return ""
        case ast.Constant(value=bool() as truth):
            return str(int(truth))
        case ast.Constant(value=str() | int() | float() as value):
            return str(value)
        case ast.Call(func=ast.Name(id="str" | "int" | "float" | "bool"), args=[inner]):
            return written(inner)
    return ast.unparse(default)


def pattern_of(name: ast.expr) -> str:
    """A regular expression of the names that are put together by an expression."""
    match name:
        case ast.Constant(value=str() as word):
            return re.escape(word)
        case ast.JoinedStr(values=parts):
            return "".join(pattern_of(part) for part in parts)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return pattern_of(left) + pattern_of(right)
    return ".*"
