"""The environment variables that a script reads, found in its text. Nothing is executed.

A name counts as read where it reaches `os.environ` or `os.getenv` as a constant: directly, through an alias, in a loop
over constants, or as the argument of a helper that the script defines for it. Where the environment itself goes where
this cannot follow, the place is said, and nothing more is taken for certain.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pgolf.scripts.constants import pattern_of, words_of_table, written
from pgolf.scripts.reads import Reads, Variable

READERS = frozenset({"get", "pop", "setdefault", "__getitem__"})
HARMLESS = frozenset({"copy", "update", "clear"})
# Libraries that read variables by the names of fields.
SETTINGS_LIBRARIES = frozenset({"pydantic_settings", "environs", "decouple", "dynaconf", "starlette.config"})
# What variables are usually called; a method `get` is a helper only for names like these.
USUAL_NAME = re.compile(r"[A-Z][A-Z0-9_]+")
NOTHING = ast.Constant(None)


def variables_read(texts: Mapping[str, str]) -> Reads:
    """What programs read of the environment, by the names of their files.

    Raises: SyntaxError for a text that is no Python.
    """
    found = Reads()
    readers = [FileReader(name, ast.parse(text), found) for name, text in texts.items()]
    for reader in readers:
        reader.take_imports({Path(other.name).stem: other for other in readers})
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
        self.tables: dict[str, list[str]] = {}
        self.parents = {id(child): node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
        for node in ast.walk(tree):
            self.take_alias(node)
        for node in ast.walk(tree):
            self.take_loop(node)

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
            case ast.Assign(targets=[ast.Name() | ast.Attribute() as target], value=value):
                self.take_assignment(ast.unparse(target), value)
            case ast.AnnAssign(target=ast.Name() | ast.Attribute() as target, value=ast.expr() as value):
                self.take_assignment(ast.unparse(target), value)
            case ast.NamedExpr(target=target, value=value):
                self.take_assignment(target.id, value)

    def take_imports(self, others: "Mapping[str, FileReader]") -> None:
        """Nothing; what another shipped file calls the environment is known here under its name."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[-1] in others:
                other = others[node.module.split(".")[-1]]
                for alias in node.names:
                    if alias.name in other.mappings:
                        self.mappings.add(alias.asname or alias.name)
                    if alias.name in other.getters:
                        self.getters.add(alias.asname or alias.name)

    def take_assignment(self, name: str, value: ast.expr) -> None:
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            self.constants.setdefault(name, set()).add(value.value)
        elif self.is_mapping(value):
            self.mappings.add(name)
        elif self.is_getter(value):
            self.getters.add(name)
        elif found := words_of_table(value):
            self.tables[name] = found

    def take_loop(self, node: ast.AST) -> None:
        """Nothing; the names that a loop over constants gives to its first variable are known."""
        if not isinstance(node, ast.For | ast.comprehension):
            return
        target = node.target.elts[0] if isinstance(node.target, ast.Tuple) and node.target.elts else node.target
        source: ast.expr = node.iter
        match source:
            case ast.Call(func=ast.Attribute(value=inner, attr="items" | "keys")):
                source = inner
        words = words_of_table(source) or self.tables.get(ast.unparse(source), [])
        if isinstance(target, ast.Name):
            self.constants.setdefault(target.id, set()).update(words)

    def is_mapping(self, node: ast.AST) -> bool:
        """Whether an expression is the environment, or a copy of it."""
        match node:
            case ast.Call(func=ast.Name(id="dict"), args=[inner]):
                return self.is_mapping(inner)
            case ast.Call(func=ast.Attribute(value=inner, attr="copy")):
                return self.is_mapping(inner)
            case ast.BinOp(left=left, op=ast.BitOr(), right=right):
                return self.is_mapping(left) or self.is_mapping(right)
            case ast.Dict(keys=keys, values=values):
                return any(key is None and self.is_mapping(value) for key, value in zip(keys, values, strict=True))
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
                case ast.Call(func=function, args=arguments, keywords=keywords) if self.is_getter(function):
                    named = {each.arg: each.value for each in keywords}
                    name = arguments[0] if arguments else named.get("key", named.get("varname", NOTHING))
                    yield name, arguments[1] if len(arguments) > 1 else named.get("default", NOTHING)
                case ast.keyword(arg="envvar", value=names):
                    yield from ((name, NOTHING) for name in getattr(names, "elts", [names]))
                case ast.Call() if (helper := helpers.get(function_name(node.func))) is not None:
                    is_common = function_name(node.func) in READERS
                    yield from (found for found in arguments_of(node, helper) if not is_common or is_usual(found[0]))

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
        with_default = [each.arg for each in positional[len(positional) - len(signature.defaults) :]]
        own_defaults: dict[str, ast.expr | None] = dict(zip(with_default, signature.defaults, strict=True))
        by_name_only = [each.arg for each in signature.kwonlyargs]
        own_defaults |= dict(zip(by_name_only, signature.kw_defaults, strict=True))
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
        self.found.walks += [f"{self.name}:{getattr(node, 'lineno', 1)}" for node in self.escapes()]

    def escapes(self) -> Iterator[ast.AST]:
        """Places where the environment goes beyond what is followed here."""
        for node in ast.walk(self.tree):
            match node:
                case ast.Import(names=names) if any(alias.name in SETTINGS_LIBRARIES for alias in names):
                    yield node
                case ast.ImportFrom(module=module) if module in SETTINGS_LIBRARIES:
                    yield node
                case ast.ClassDef(bases=bases) if any("BaseSettings" in ast.unparse(base) for base in bases):
                    yield node
                case ast.Call(func=ast.Name(id="getattr"), args=[_, ast.Constant(value="environ" | "getenv"), *_]):
                    yield node
                case ast.expr() if isinstance(getattr(node, "ctx", ast.Load()), ast.Load) and self.escapes_by(node):
                    yield node

    def escapes_by(self, node: ast.expr) -> bool:
        """Whether an expression is the environment, or its reader, in a place that is not followed."""
        parent = self.parents.get(id(node))
        if self.is_getter(node):
            is_called = isinstance(parent, ast.Call) and parent.func is node
            return not is_called and not self.names_it(parent)
        if not self.is_mapping(node) or parent is None or (isinstance(parent, ast.expr) and self.is_mapping(parent)):
            return False
        match parent:
            case ast.Subscript() | ast.Compare() | ast.Expr() | ast.Delete():
                return False
            case ast.Attribute(attr=attribute):
                return attribute not in READERS | HARMLESS
            case ast.Call(func=ast.Attribute(value=holder, attr="update")) if self.is_mapping(holder):
                return False
            case ast.keyword(arg="env"):  # of subprocess: what a child reads is the child's own
                return False
        return not self.names_it(parent)

    def names_it(self, parent: ast.AST | None) -> bool:
        """Whether a parent gives the environment, or its reader, a name that is known from there on."""
        match parent:
            case ast.Assign(targets=[ast.Name() | ast.Attribute()]) | ast.AnnAssign() | ast.NamedExpr():
                return True
        return False

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
            case ast.Name(id=given) | ast.Attribute(attr=given):
                return sorted(self.constants.get(given, set()))
            case ast.IfExp(body=one, orelse=other):
                return [*self.words(one), *self.words(other)]
        return []


def default_among(parameters: list[str], name: str) -> str | None:
    """The parameter of a helper that is given back where the variable is not set, by its name."""
    others = [each for each in parameters if each != name]
    return next((each for each in others if "default" in each or "fallback" in each), None)


def is_usual(name: ast.expr) -> bool:
    """Whether an expression is a constant that variables of the environment are called like."""
    return isinstance(name, ast.Constant) and USUAL_NAME.fullmatch(str(name.value)) is not None


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
