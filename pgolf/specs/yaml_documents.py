"""Reads YAML and keeps the line of every value.

Scalars follow the YAML 1.2 core schema plus plain floats: `1e-3` and `3.2e9` are numbers; `on`, `1:30` and `2024-01-01`
are strings. Duplicate keys are refused with both lines. Size, depth and aliases are checked before anything is built,
so that no file takes much time or memory: PyYAML's C parser gives events, and the composer below builds the values.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from pgolf.errors import SpecError
from trainer.recipe.reading import read_bytes

LARGEST_FILE_BYTES = 1_000_000
MAX_DEPTH = 64
MAX_NODES = 100_000

NULL = re.compile(r"~|null|Null|NULL|")
BOOLEAN = re.compile(r"(true|True|TRUE)|false|False|FALSE")
INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")

# Line breaks in YAML 1.1, which PyYAML implements; ordinary characters in YAML 1.2 and in JSON.
YAML_1_1_BREAKS = "\x85\u2028\u2029"
PRIVATE_USE = range(0xE000, 0xF900)

Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Place:
    """The place where a value was written: a file and a line, or a --set argument."""

    source: str
    line: int | None = None

    def __str__(self) -> str:
        return self.source if self.line is None else f"{self.source}:{self.line}"


@dataclass(frozen=True, slots=True)
class Node:
    """A value and its place; members of mappings and sequences are nodes."""

    value: Any
    place: Place
    key_places: dict[str, Place] = field(default_factory=dict)
    """Places of a mapping's keys."""

    def plain(self) -> Any:
        """Return the value without places."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value


def read_yaml(path: Path) -> Node:
    """Read a YAML file that contains a mapping.

    Raises:
        SpecError: it is any other file; gives file:line.
    """
    try:
        text = read_bytes(path, LARGEST_FILE_BYTES).decode("utf-8")
    except FileNotFoundError:
        raise SpecError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise SpecError(f"{path}: is a directory, expected a YAML file") from None
    except UnicodeDecodeError as error:
        raise SpecError(f"{path}: byte {error.start} is not UTF-8 text; a spec is a YAML file") from None
    except OSError as error:
        raise SpecError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise SpecError(f"{error}; a spec is a YAML file of at most {LARGEST_FILE_BYTES:,} bytes") from error
    node = parse_yaml(text, str(path))
    if not isinstance(node.value, dict):
        raise SpecError(f"{node.place}: found {describe_value(node.value)}, expected a mapping such as `name: my-run`")
    return node


def describe_value(value: Any) -> str:
    """Describe a value for an error message."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."


def parse_yaml(text: str, source: str) -> Node:
    """Parse the only document in `text`; an empty text gives null.

    Raises:
        SpecError: it is wrong, at source:line.
    """
    try:
        return Composer(parse_events(text), source).document()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise SpecError(f"{source}:{line}: {explain_yaml_error(error)}") from None
    except yaml.reader.ReaderError as error:
        raise SpecError(f"{source}: character {error.position} is not allowed in YAML; a spec is a text file") from None


def parse_events(text: str) -> Iterator[Any]:
    """Yield the parser's events, with YAML 1.1 line breaks replaced by unused characters while it parses."""
    unused = (code for code in PRIVATE_USE if chr(code) not in text)
    substitutes = {ord(letter): code for letter, code in zip(YAML_1_1_BREAKS, unused, strict=False) if letter in text}
    for event in yaml.parse(text.translate(substitutes), Loader=Loader):
        if isinstance(event, yaml.ScalarEvent):
            event.value = event.value.translate({code: letter for letter, code in substitutes.items()})
        yield event


def explain_yaml_error(error: yaml.MarkedYAMLError) -> str:
    """Return the parser's error, in clearer words for common mistakes."""
    problem = " ".join(filter(None, (error.problem, error.context)))
    if "cannot start any token" in problem:
        return "a tab cannot indent YAML; use spaces"
    if "maximum nesting depth" in problem:  # newer parsers have a limit of their own and reach it while reading ahead
        return f"nested more than {MAX_DEPTH} deep"
    return f"not valid YAML: {problem}"


class Composer:
    """Builds nodes from a stream of parser events."""

    def __init__(self, events: Iterator[Any], source: str) -> None:
        self.events, self.source = events, source
        self.anchors: dict[str, tuple[Node, int, int]] = {}
        self.deepest = 0
        self.nodes = 0

    def document(self) -> Node:
        """Build the only document of the stream."""
        node = Node(None, Place(self.source, 1))
        documents = 0
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise SpecError(f"{self.place(event)}: found a second document, expected one")
                node = self.node(next(self.events), 1)
        return node

    def place(self, event: Any) -> Place:
        return Place(self.source, event.start_mark.line + 1)

    def node(self, event: Any, depth: int) -> Node:
        """Build the node that begins with an event."""
        self.check_depth(depth, event)
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event, depth)
        before, deepest_before, self.deepest = self.nodes, self.deepest, depth
        self.count(1, event)
        if isinstance(event, yaml.ScalarEvent):
            node = Node(self.scalar(event), self.place(event))
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self.sequence(event, depth)
        else:
            node = self.mapping(event, depth)
        if event.anchor:
            self.anchors[event.anchor] = node, self.nodes - before, self.deepest - depth
        self.deepest = max(self.deepest, deepest_before)
        return node

    def check_depth(self, depth: int, event: Any) -> None:
        if depth > MAX_DEPTH:
            raise SpecError(f"{self.place(event)}: nested more than {MAX_DEPTH} deep")

    def scalar(self, event: Any) -> Any:
        if "\0" in event.value:
            raise SpecError(f"{self.place(event)}: a value cannot hold a NUL character")
        try:
            return scalar(event)
        except ValueError:  # Python's int() refuses more than 4,300 digits
            raise SpecError(f"{self.place(event)}: a number of {len(event.value):,} digits is too long") from None

    def count(self, nodes: int, event: Any) -> None:
        """Count nodes, an alias as all the nodes of its anchor.

        Raises:
            SpecError: there are too many.
        """
        self.nodes += nodes
        if self.nodes > MAX_NODES:
            raise SpecError(f"{self.place(event)}: more than {MAX_NODES:,} values with all aliases expanded")

    def alias(self, event: Any, depth: int) -> Node:
        if event.anchor not in self.anchors:
            raise SpecError(f"{self.place(event)}: alias *{event.anchor} has no anchor before it")
        node, size, height = self.anchors[event.anchor]
        self.count(size, event)
        self.check_depth(depth + height, event)
        self.deepest = max(self.deepest, depth + height)
        return node

    def sequence(self, start: Any, depth: int) -> Node:
        items = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            items.append(self.node(event, depth + 1))
        return Node(items, self.place(start))

    def mapping(self, start: Any, depth: int) -> Node:
        entries: dict[str, Node] = {}
        places: dict[str, Place] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise SpecError(f"{self.place(event)}: found a list or mapping as a key, expected a word")
            key, place = event.value, self.place(event)
            if key in places:
                raise SpecError(f"{place}: duplicate key {key!r}; the first one is on line {places[key].line}")
            places[key] = place
            entries[key] = self.node(next(self.events), depth + 1)
        return Node(entries, self.place(start), places)


def scalar(event: Any) -> Any:
    """Return a scalar's value: typed if it is plain, a string if it is quoted or tagged !!str."""
    text: str = event.value
    if event.tag == "tag:yaml.org,2002:str" or not event.implicit[0]:
        return text
    if NULL.fullmatch(text):
        return None
    if found := BOOLEAN.fullmatch(text):
        return found[1] is not None
    if INTEGER.fullmatch(text):
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    if FLOAT.fullmatch(text):
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text
