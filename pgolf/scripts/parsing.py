"""How a script parses the environment variables that it reads: as numbers, as lists of numbers, as switches."""

import ast
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pgolf.scripts.flow import SCOPES, Flow, within_scope
from pgolf.scripts.variables import FileReader, Helper, function_name

PARSERS: dict[str, Callable[[str], Any]] = {"int": int, "float": float, "json.loads": json.loads}
TRUE_WORDS, FALSE_WORDS = frozenset({"1", "true", "yes", "on"}), frozenset({"0", "false", "no", "off"})


@dataclass(frozen=True, slots=True)
class Parse:
    """A place where a script parses a variable and fails if it cannot."""

    name: str
    parser: str
    """A key of `PARSERS`."""
    place: str
    is_certain: bool
    """Whether this place is surely reached."""
    separator: str | None = None
    """Of a list; None for a single value."""
    skips_empty: bool = False
    """Whether empty parts, or an empty value, are not parsed."""

    def unparsable(self, text: str) -> str | None:
        """Return the part of a value that cannot be parsed, or None."""
        parts = [text] if self.separator is None else text.split(self.separator)
        for part in parts:
            if self.skips_empty and not part.strip():
                continue
            try:
                PARSERS[self.parser](part)
            except ValueError:
                return part
        return None


@dataclass(frozen=True, slots=True)
class Switch:
    """A place where a script compares a variable with words, and takes every other word for the opposite."""

    name: str
    words: frozenset[str]
    is_true: bool
    """Whether the words mean true; else they mean false."""
    is_lowered: bool
    """Whether the value is compared in lower case."""
    place: str

    def mistaken(self, text: str) -> bool | None:
        """Return what a word for true or false is taken for, if that is the opposite; else None."""
        meaning = True if text.lower() in TRUE_WORDS else False if text.lower() in FALSE_WORDS else None
        is_listed = (text.lower() if self.is_lowered else text) in self.words
        taken = is_listed == self.is_true
        return None if meaning is None or meaning == taken else taken


@dataclass(frozen=True, slots=True)
class Parsing:
    """All places where a program parses variables."""

    parses: tuple[Parse, ...]
    switches: tuple[Switch, ...]


def variables_parsed(
    readers: Mapping[str, FileReader], helpers: Mapping[str, Helper], flows: Mapping[str, Flow]
) -> Parsing:
    """Return how the files of a program parse variables. Only the first file is known to be executed."""
    parsers = [
        FileParser(reader, helpers, flows[name], is_main=name == next(iter(readers)))
        for name, reader in readers.items()
    ]
    inner: dict[str, Parse] = {}
    for parser in parsers:
        for other in parsers:
            other.transparent |= parser.transparent_helpers()
    for parser in parsers:
        inner |= parser.parses_in_helpers()
    parses = [parse for parser in parsers for parse in parser.parses(inner)]
    switches = [switch for parser in parsers for switch in parser.switches()]
    return Parsing(tuple(dict.fromkeys(parses)), tuple(dict.fromkeys(switches)))


class FileParser:
    """Finds where one file parses variables."""

    def __init__(self, reader: FileReader, helpers: Mapping[str, Helper], flow: Flow, *, is_main: bool) -> None:
        self.reader, self.helpers, self.flow, self.is_main = reader, helpers, flow, is_main
        self.transparent: set[str] = set()
        """Helpers that return a variable's text as it is."""

    def parses(self, inner: Mapping[str, Parse]) -> Iterator[Parse]:
        """Yield the places that parse variables, also by helpers that parse what they read."""
        for call, read, rest in self.parsed_reads():
            holder = self.reader.parents.get(id(call))
            # A list has at least one part, so its first is parsed whenever the list is made.
            place = holder if isinstance(holder, ast.ListComp) and not rest["skips_empty"] else call
            for name in self.names_of(read):
                yield Parse(name, is_certain=self.is_certain(place), **rest)
        for node in ast.walk(self.reader.tree):
            if isinstance(node, ast.Call) and (parse := inner.get(function_name(node.func))) is not None:
                for name in self.names_of(node):
                    is_certain = parse.is_certain and self.is_certain(node)
                    yield Parse(name, parse.parser, parse.place, is_certain, parse.separator, parse.skips_empty)

    def parses_in_helpers(self) -> dict[str, Parse]:
        """Return the place where each helper parses the variable that its parameter names."""
        found: dict[str, Parse] = {}
        for call, read, rest in self.parsed_reads():
            owner = self.owner(call)
            for name, _ in self.reader.reads_at(read, self.helpers):
                helper = None if owner is None else self.helpers.get(owner[0])
                if owner is not None and helper is not None and ast.unparse(name) == helper.parameter:
                    found[owner[0]] = Parse("", is_certain=owner[1], **rest)
        return found

    def owner(self, node: ast.AST) -> tuple[str, bool] | None:
        """Return the function that a node is in, and whether each of its calls evaluates the node."""
        inside: ast.AST | None = node
        is_direct = True
        while (inside := self.reader.parents.get(id(inside))) is not None:
            match inside:
                case ast.FunctionDef(name=name):
                    return name, is_direct
                case ast.Lambda() if isinstance(holder := self.reader.parents.get(id(inside)), ast.Assign):
                    return ast.unparse(holder.targets[0]), is_direct
                case ast.Return() | ast.Call() | ast.keyword():
                    continue
                case _:
                    is_direct = False
        return None

    def parsed_reads(self) -> Iterator[tuple[ast.Call, ast.expr, dict[str, Any]]]:
        """Yield each call that parses a read, the read, and how. Calls whose failure is caught are left out."""
        for node in ast.walk(self.reader.tree):
            if not isinstance(node, ast.Call) or self.flow.is_caught(node, "ValueError"):
                continue
            place = f"{self.reader.name}:{node.lineno}"
            match node:
                case ast.Call(func=parser, args=[argument], keywords=[]) if ast.unparse(parser) in PARSERS:
                    facts: dict[str, Any] = {"parser": ast.unparse(parser), "place": place}
                    is_optional = isinstance(argument, ast.BoolOp) and isinstance(argument.op, ast.Or)
                    if (read := self.read_in(argument)) is not None:
                        yield node, read, facts | {"skips_empty": is_optional}
                    elif (found := self.assigned_read(node, argument)) is not None:
                        yield node, found, facts | {"skips_empty": True}
                    elif (listed := self.listed_read(node, argument)) is not None:
                        yield node, listed[0], facts | listed[1]
                case ast.Call(func=ast.Name(id="map"), args=[parser, ast.Call() as split]) if (
                    ast.unparse(parser) in PARSERS and (of := self.split_read(split)) is not None
                ):
                    yield node, of[0], {"parser": ast.unparse(parser), "place": place, "separator": of[1]}

    def read_in(self, node: ast.expr) -> ast.expr | None:
        """Return the read that an expression is, after `.strip()` and before `or`; None if it is something else."""
        match node:
            case ast.BoolOp(op=ast.Or(), values=[first, *_]):
                return self.read_in(first)
            case ast.Call(func=ast.Attribute(value=inner, attr="strip"), args=[]):
                return self.read_in(inner)
            case ast.Call(func=function) if function_name(function) in self.helpers and not self.reader.is_getter(
                function
            ):
                return node if function_name(function) in self.transparent else None
            case ast.Call() | ast.Subscript():
                return node if next(self.reader.reads_at(node, self.helpers), None) is not None else None
        return None

    def transparent_helpers(self) -> set[str]:
        """Return the helpers that return a variable's text, or their default, as it is."""
        found = set()
        for node in ast.walk(self.reader.tree):
            if isinstance(node, ast.FunctionDef) and node.name in self.helpers:
                returned = [each.value for each in within_scope(node) if isinstance(each, ast.Return)]
                if returned and all(value is not None and self.is_passed_through(value) for value in returned):
                    found.add(node.name)
            elif (
                isinstance(node, ast.Assign)
                and isinstance(node.value, ast.Lambda)
                and self.is_passed_through(node.value.body)
            ):
                found |= {ast.unparse(target) for target in node.targets} & self.helpers.keys()
        return found

    def is_passed_through(self, value: ast.expr) -> bool:
        """Return whether an expression is a read, a name, a constant, or a choice between them."""
        match value:
            case ast.Name() | ast.Constant():
                return True
            case ast.IfExp(body=one, orelse=other):
                return self.is_passed_through(one) and self.is_passed_through(other)
            case ast.BoolOp(op=ast.Or(), values=values):
                return all(map(self.is_passed_through, values))
            case ast.Call(func=ast.Attribute(value=inner, attr="strip"), args=[]):
                return self.is_passed_through(inner)
            case ast.Call(func=function):
                return self.reader.is_getter(function)
            case ast.Subscript(value=mapping):
                return self.reader.is_mapping(mapping)
        return False

    def assigned_read(self, call: ast.Call, argument: ast.expr) -> ast.expr | None:
        """Return the only read assigned to a local name that is parsed if it is not empty."""
        if not isinstance(argument, ast.Name):
            return None
        scope = self.scope_of(call)
        stored = [node for node in ast.walk(scope) if isinstance(node, ast.Name) and node.id == argument.id]
        values = [
            node.value
            for node in ast.walk(scope)
            if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == [argument.id]
        ]
        if len(values) != 1 or sum(isinstance(node.ctx, ast.Store) for node in stored) != 1:
            return None
        return self.read_in(values[0]) if self.is_guarded_by_emptiness_only(call, argument.id, scope) else None

    def scope_of(self, node: ast.AST) -> ast.AST:
        """Return the function that a node is in, or the module."""
        inside: ast.AST = node
        while not isinstance(inside, (*SCOPES, ast.Module)):
            inside = self.reader.parents[id(inside)]
        return inside

    def is_guarded_by_emptiness_only(self, node: ast.AST, name: str, scope: ast.AST) -> bool:
        """Return whether all conditions around a node ask only whether a name is None or empty."""
        inside = node
        while inside is not scope:
            inside = self.reader.parents[id(inside)]
            if isinstance(inside, ast.If | ast.IfExp | ast.While) and not is_emptiness_test(inside.test, name):
                return False
            if isinstance(inside, ast.BoolOp | ast.Match | ast.Try):
                return False
        return not any(isinstance(each, ast.If) and leaves_by_value(each, name) for each in ast.walk(scope))

    def listed_read(self, call: ast.Call, argument: ast.expr) -> tuple[ast.expr, dict[str, Any]] | None:
        """Return the read whose parts a comprehension parses, and how they are separated."""
        part = (
            argument.func.value
            if isinstance(argument, ast.Call) and isinstance(argument.func, ast.Attribute)
            else argument
        )
        holder = self.reader.parents.get(id(call))
        if not isinstance(holder, ast.ListComp | ast.GeneratorExp | ast.SetComp) or len(holder.generators) != 1:
            return None
        generator = holder.generators[0]
        if not isinstance(part, ast.Name) or ast.unparse(generator.target) != part.id:
            return None
        if isinstance(argument, ast.Call) and function_name(argument.func) != "strip":
            return None
        of = self.split_read(generator.iter)
        if of is None or any(ast.unparse(test) not in (part.id, f"{part.id}.strip()") for test in generator.ifs):
            return None
        return of[0], {"separator": of[1], "skips_empty": bool(generator.ifs)}

    def split_read(self, node: ast.expr) -> tuple[ast.expr, str] | None:
        """Return the read that an expression splits, and at what."""
        match node:
            case ast.Call(func=ast.Attribute(value=inner, attr="split"), args=[ast.Constant(value=str() as separator)]):
                read = self.read_in(inner)
                return None if read is None else (read, separator)
        return None

    def switches(self) -> Iterator[Switch]:
        """Yield the comparisons of variables with words for true or for false."""
        for node in ast.walk(self.reader.tree):
            if not isinstance(node, ast.Compare) or len(node.ops) != 1:
                continue
            read, is_lowered = self.read_in(node.left), False
            match node.left:
                case ast.Call(func=ast.Attribute(value=inner, attr="lower" | "casefold")):
                    read, is_lowered = self.read_in(inner), True
            words = words_of(node.comparators[0])
            operator = type(node.ops[0])
            if read is None or not words or operator not in (ast.Eq, ast.In, ast.NotEq, ast.NotIn):
                continue
            lowered = {word.lower() for word in words}
            is_positive = operator in (ast.Eq, ast.In)
            if lowered <= TRUE_WORDS and is_positive:
                is_true = True
            elif lowered <= FALSE_WORDS | {""} and not is_positive:
                is_true = False
            else:
                continue
            for name in self.names_of(read):
                yield Switch(name, frozenset(words), is_true, is_lowered, f"{self.reader.name}:{node.lineno}")

    def names_of(self, read: ast.expr) -> list[str]:
        """Return the variables that a read may read."""
        found = self.reader.reads_at(read, self.helpers)
        return [each for name, _ in found for each in self.reader.possible_names(name)]

    def is_certain(self, node: ast.AST) -> bool:
        """Return whether a node is surely evaluated when the program runs."""
        return self.is_main and self.flow.is_certain(node)


def is_emptiness_test(test: ast.expr, name: str) -> bool:
    """Return whether a test asks only whether a name is None or empty."""
    if isinstance(test, ast.BoolOp):
        return all(is_emptiness_test(each, name) for each in test.values)
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return is_emptiness_test(test.operand, name)
    return ast.unparse(test) in (
        name, f"{name}.strip()", f"{name} is None", f"{name} is not None", f"{name} == ''", f"{name} != ''"
    )  # fmt: skip


def leaves_by_value(node: ast.If, name: str) -> bool:
    """Return whether a condition on more than a name's emptiness may leave before the name is parsed."""
    is_about = any(isinstance(each, ast.Name) and each.id == name for each in ast.walk(node.test))
    has_exit = any(isinstance(each, ast.Return | ast.Raise | ast.Continue | ast.Break) for each in ast.walk(node))
    return is_about and has_exit and not is_emptiness_test(node.test, name)


def words_of(node: ast.expr) -> list[str]:
    """Return the constant words of a comparison's right side; empty if it has others."""
    elements = node.elts if isinstance(node, ast.Tuple | ast.List | ast.Set) else [node]
    words = [each.value for each in elements if isinstance(each, ast.Constant) and isinstance(each.value, str)]
    return words if len(words) == len(elements) else []
