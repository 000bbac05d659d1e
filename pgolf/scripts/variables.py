"""Finds the environment variables that a script reads in its text. Nothing is executed.

A name counts as read if it reaches `os.environ` or `os.getenv` as a constant: directly, through an alias, in a loop
over constants, or as the argument of a helper that the script defines. If the environment itself is passed to code that
cannot be followed, that place is reported, and the list of variables may be incomplete.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pgolf.scripts.constants import default_text, name_pattern, names_in_table
from pgolf.scripts.reads import EnvironmentReads, Variable

READERS = frozenset({"get", "pop", "setdefault", "__getitem__"})
HARMLESS = frozenset({"copy", "update", "clear"})
# Libraries that read variables by the names of a class's fields.
SETTINGS_LIBRARIES = frozenset({"pydantic_settings", "environs", "decouple", "dynaconf", "starlette.config"})
# The usual form of variable names; a method named `get` counts as a helper only for names like these.
USUAL_NAME = re.compile(r"[A-Z][A-Z0-9_]+")
# Helpers that call helpers that call helpers; each level takes a pass over the program.
MOST_HELPER_LEVELS = 20
NONE_DEFAULT = ast.Constant(None)


def variables_read(trees: Mapping[str, ast.Module]) -> EnvironmentReads:
    """Find the environment variables that a program reads, given the syntax trees of its files by name."""
    found = EnvironmentReads()
    readers = file_readers(trees, found)
    helpers = find_all_helpers(readers)
    for reader in readers:
        reader.read(helpers)
    order = list(trees)
    found.variables = sorted(set(found.variables), key=lambda each: (order.index(each.file), each.line, each.name))
    return found


def file_readers(trees: Mapping[str, ast.Module], found: EnvironmentReads) -> "list[FileReader]":
    """Return a reader of each file, which knows what it imports from the others."""
    readers = [FileReader(name, tree, found) for name, tree in trees.items()]
    for reader in readers:
        reader.record_imports({Path(other.name).stem: other for other in readers})
    return readers


@dataclass(frozen=True, slots=True)
class Helper:
    """A function that reads the variable whose name it is given."""

    position: int
    parameter: str
    default_position: int | None
    default_parameter: str | None
    default: ast.expr | None
    """The default that the helper uses if the caller gives none."""


def find_all_helpers(readers: "list[FileReader]") -> dict[str, Helper]:
    """Return all helpers by name, including helpers that call other helpers."""
    known: dict[str, Helper] = {}
    for _ in range(MOST_HELPER_LEVELS):
        more = {name: helper for reader in readers for name, helper in reader.find_helpers(known) if name not in known}
        if not more:
            break
        known |= more
    return known


class FileReader:
    """Finds the reads of one file, given its names for the environment and for constants."""

    def __init__(self, name: str, tree: ast.Module, found: EnvironmentReads) -> None:
        self.name, self.tree, self.found = name, tree, found
        self.mappings, self.getters = {"os.environ"}, {"os.getenv"}
        self.constants: dict[str, set[str]] = {}
        self.tables: dict[str, list[str]] = {}
        self.dictionaries: set[str] = set()
        """Names to which the script assigns a new dictionary."""
        self.default_texts: dict[int, str | None] = {}
        """The texts of defaults, by the ids of their nodes."""
        self.parents = {id(child): node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
        for node in ast.walk(tree):
            self.record_alias(node)
        for node in ast.walk(tree):
            self.record_loop(node)

    def record_alias(self, node: ast.AST) -> None:
        """Record names that a node gives to the environment, its readers, or constants."""
        match node:
            case ast.ImportFrom(module="os", names=names):
                self.mappings |= {alias.asname or alias.name for alias in names if alias.name == "environ"}
                self.getters |= {alias.asname or alias.name for alias in names if alias.name == "getenv"}
            case ast.Import(names=names):
                given = {alias.asname for alias in names if alias.name == "os" and alias.asname}
                self.mappings |= {f"{name}.environ" for name in given}
                self.getters |= {f"{name}.getenv" for name in given}
            case ast.Assign(targets=[ast.Name() | ast.Attribute() as target], value=value):
                self.record_assignment(ast.unparse(target), value)
            case ast.AnnAssign(target=ast.Name() | ast.Attribute() as target, value=ast.expr() as value):
                self.record_assignment(ast.unparse(target), value)
            case ast.NamedExpr(target=target, value=value):
                self.record_assignment(target.id, value)

    def record_imports(self, others: "Mapping[str, FileReader]") -> None:
        """Record names for the environment that are imported from other shipped files."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[-1] in others:
                other = others[node.module.split(".")[-1]]
                for alias in node.names:
                    if alias.name in other.mappings:
                        self.mappings.add(alias.asname or alias.name)
                    if alias.name in other.getters:
                        self.getters.add(alias.asname or alias.name)

    def record_assignment(self, name: str, value: ast.expr) -> None:
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            self.constants.setdefault(name, set()).add(value.value)
        elif self.is_mapping(value):
            self.mappings.add(name)
        elif self.is_getter(value):
            self.getters.add(name)
        elif found := names_in_table(value):
            self.tables[name] = found
        if is_dictionary(value):
            self.dictionaries.add(name)

    def record_loop(self, node: ast.AST) -> None:
        """Record the constants that a loop assigns to its first variable."""
        if not isinstance(node, ast.For | ast.comprehension):
            return
        target = node.target.elts[0] if isinstance(node.target, ast.Tuple) and node.target.elts else node.target
        source: ast.expr = node.iter
        match source:
            case ast.Call(func=ast.Attribute(value=inner, attr="items" | "keys")):
                source = inner
        names = names_in_table(source) or self.tables.get(ast.unparse(source), [])
        if isinstance(target, ast.Name):
            self.constants.setdefault(target.id, set()).update(names)

    def is_mapping(self, node: ast.AST) -> bool:
        """Return whether an expression is the environment or a copy of it."""
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
        """Return whether an expression is a function that reads a variable."""
        if isinstance(node, ast.Attribute) and node.attr in READERS and self.is_mapping(node.value):
            return True
        return isinstance(node, ast.Name | ast.Attribute) and ast.unparse(node) in self.getters

    def is_of_table(self, function: ast.expr) -> bool:
        """Return whether a function is a method of a dictionary that the script itself fills."""
        if not isinstance(function, ast.Attribute):
            return False
        name = ast.unparse(function.value)
        return is_dictionary(function.value) or (name in self.dictionaries and name not in self.mappings)

    def find_reads(self, tree: ast.AST, helpers: Mapping[str, Helper]) -> Iterator[tuple[ast.expr, ast.expr | None]]:
        """Yield name and default, as expressions, of each read below a node; a default of None means there is none."""
        for node in ast.walk(tree):
            yield from self.reads_at(node, helpers)

    def reads_at(self, node: ast.AST, helpers: Mapping[str, Helper]) -> Iterator[tuple[ast.expr, ast.expr | None]]:
        """Yield what `find_reads` yields of the node itself."""
        match node:
            case ast.Subscript(value=mapping, slice=name, ctx=ast.Load()) if self.is_mapping(mapping):
                yield name, None
            case ast.Compare(left=name, ops=[ast.In() | ast.NotIn()], comparators=[mapping]) if self.is_mapping(
                mapping
            ):
                yield name, NONE_DEFAULT
            case ast.Call(func=function, args=arguments, keywords=keywords) if self.is_getter(function):
                named = {each.arg: each.value for each in keywords}
                name = arguments[0] if arguments else named.get("key", named.get("varname", NONE_DEFAULT))
                yield name, arguments[1] if len(arguments) > 1 else named.get("default", NONE_DEFAULT)
            case ast.keyword(arg="envvar", value=names):
                yield from ((name, NONE_DEFAULT) for name in getattr(names, "elts", [names]))
            case ast.Call() if (helper := helpers.get(function_name(node.func))) is not None:
                is_common = function_name(node.func) in READERS
                if is_common and self.is_of_table(node.func):
                    return
                found = arguments_of(node, helper)
                yield from (read for read in found if not is_common or has_usual_name(read[0]))

    def find_helpers(self, known: Mapping[str, Helper]) -> Iterator[tuple[str, Helper]]:
        """Yield functions that read the variable named by one of their parameters."""
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
        for name, default in self.find_reads(body, known):
            if isinstance(name, ast.Name) and name.id in parameters:
                fallback = default.id if isinstance(default, ast.Name) and default.id in parameters else None
                if fallback is None and default is NONE_DEFAULT:
                    fallback = find_default_parameter(parameters, name.id)
                yield Helper(
                    parameters.index(name.id) - (parameters[0] in ("self", "cls")),
                    name.id,
                    None if fallback is None else parameters.index(fallback) - (parameters[0] in ("self", "cls")),
                    fallback,
                    default if fallback is None else own_defaults.get(fallback),
                )
                return

    def read(self, helpers: Mapping[str, Helper]) -> None:
        """Record all reads of this file."""
        inner = {id(part) for part in self.helper_bodies(helpers)}
        for name, default in self.find_reads(self.tree, helpers):
            if isinstance(name, ast.Name) and id(name) in inner:
                continue
            self.record_read(name, default)
        self.found.escapes += [f"{self.name}:{getattr(node, 'lineno', 1)}" for node in self.escapes()]

    def escapes(self) -> Iterator[ast.AST]:
        """Yield the places where the environment is passed to code that is not followed."""
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
                case ast.expr() if isinstance(getattr(node, "ctx", ast.Load()), ast.Load) and self.is_escape(node):
                    yield node

    def is_escape(self, node: ast.expr) -> bool:
        """Return whether an expression is the environment, or a reader of it, in a place that is not followed."""
        parent = self.parents.get(id(node))
        if self.is_getter(node):
            is_called = isinstance(parent, ast.Call) and parent.func is node
            return not is_called and not self.is_alias_assignment(parent)
        if not self.is_mapping(node) or parent is None or (isinstance(parent, ast.expr) and self.is_mapping(parent)):
            return False
        match parent:
            case ast.Subscript() | ast.Compare() | ast.Expr() | ast.Delete():
                return False
            case ast.Attribute(attr=attribute):
                return attribute not in READERS | HARMLESS
            case ast.Call(func=ast.Attribute(value=holder, attr="update")) if self.is_mapping(holder):
                return False
            case ast.keyword(arg="env"):  # of subprocess: reads of child processes do not count
                return False
        return not self.is_alias_assignment(parent)

    def is_alias_assignment(self, parent: ast.AST | None) -> bool:
        """Return whether a node assigns the environment, or a reader of it, to a name that record_alias knows."""
        match parent:
            case ast.Assign(targets=[ast.Name() | ast.Attribute()]) | ast.AnnAssign() | ast.NamedExpr():
                return True
        return False

    def helper_bodies(self, helpers: Mapping[str, Helper]) -> Iterator[ast.AST]:
        """Yield every node of the helpers' bodies, where the variable's name is a parameter."""
        for node in ast.walk(self.tree):
            is_lambda = isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda)
            name = node.targets[0] if is_lambda else node  # type: ignore[attr-defined]
            if getattr(name, "name", getattr(name, "id", None)) in helpers and (
                is_lambda or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            ):
                yield from ast.walk(node)

    def record_read(self, name: ast.expr, default: ast.expr | None) -> None:
        """Record the variables that a name expression may stand for, or a pattern if it is composed."""
        names = self.possible_names(name)
        for each in names:
            self.found.variables.append(Variable(each, self.text_of(default), self.name, name.lineno))
        if not names:
            self.found.patterns.setdefault(name_pattern(name), f"{self.name}:{name.lineno}")

    def text_of(self, default: ast.expr | None) -> str | None:
        """Return a default as text. All calls of a helper share the text of its default."""
        if id(default) not in self.default_texts:
            self.default_texts[id(default)] = default_text(default)
        return self.default_texts[id(default)]

    def possible_names(self, name: ast.expr) -> list[str]:
        """Return the constants that an expression may stand for; an empty list if it is composed."""
        match name:
            case ast.Constant(value=str() as constant):
                return [constant]
            case ast.Name(id=given) | ast.Attribute(attr=given):
                return sorted(self.constants.get(given, set()))
            case ast.IfExp(body=one, orelse=other):
                return [*self.possible_names(one), *self.possible_names(other)]
        return []


def find_default_parameter(parameters: list[str], name: str) -> str | None:
    """Return the parameter of a helper that, by its name, is returned if the variable is not set."""
    others = [each for each in parameters if each != name]
    return next((each for each in others if "default" in each or "fallback" in each), None)


def has_usual_name(name: ast.expr) -> bool:
    """Return whether an expression is a constant in the usual form of variable names."""
    return isinstance(name, ast.Constant) and USUAL_NAME.fullmatch(str(name.value)) is not None


def is_dictionary(node: ast.expr) -> bool:
    """Return whether an expression makes a new dictionary."""
    match node:
        case ast.Dict() | ast.DictComp():
            return True
        case ast.Call(func=ast.Name(id="dict" | "defaultdict" | "OrderedDict" | "Counter")):
            return True
    return False


def function_name(function: ast.expr) -> str:
    """Return the last part of a function's name: `env` of `self.env`."""
    match function:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def arguments_of(call: ast.Call, helper: Helper) -> Iterator[tuple[ast.expr, ast.expr | None]]:
    """Yield the variable's name and default in a call of a helper."""
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
