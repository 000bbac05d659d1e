"""Merges spec documents: mappings merge by key; a mapping of a different `kind`, and any other value, replaces."""

from typing import Any

from pgolf.errors import SpecError
from pgolf.specs.yaml_documents import MAX_DEPTH, Node, Place, parse_yaml


def merge(below: Node, above: Node) -> Node:
    """Return `below` with the values of `above` merged on top."""
    if not (isinstance(below.value, dict) and isinstance(above.value, dict)) or has_different_kind(below, above):
        return above
    merged = dict(below.value)
    for key, node in above.value.items():
        merged[key] = merge(merged[key], node) if key in merged else node
    return Node(merged, below.place, below.key_places | above.key_places)


def has_different_kind(below: Node, above: Node) -> bool:
    """Return whether the upper mapping is a different component, so that the lower one's keys do not apply."""
    kind = above.value.get("kind")
    return kind is not None and ("kind" not in below.value or kind.value != below.value["kind"].value)


def parse_assignment(argument: str) -> Node:
    """Parse `a.b=value` into a mapping; the value is YAML.

    Raises:
        SpecError: the key or `=` is missing.
    """
    key, equals, text = argument.partition("=")
    place = Place(f"--set {argument}")
    parts = key.strip().split(".")
    if not equals or not all(parts) or len(parts) > MAX_DEPTH:
        raise SpecError(f"{place}: expected KEY=VALUE with a dotted key, such as recipe.budget.train=100")
    return nest(key.strip(), with_place(parse_yaml(text, str(place)), place))


def nest(key: str, node: Node) -> Node:
    """Return nested mappings with a value at a dotted key."""
    for part in reversed(key.split(".")):
        node = Node({part: node}, node.place, {part: node.place})
    return node


def as_node(value: Any, place: Place) -> Node:
    """Convert a plain value to a node, all of it at one place."""
    if isinstance(value, dict):
        return Node({key: as_node(member, place) for key, member in value.items()}, place, dict.fromkeys(value, place))
    return Node([as_node(member, place) for member in value] if isinstance(value, list) else value, place)


def with_place(node: Node, place: Place) -> Node:
    """Return the same value, all of it at one place."""
    if isinstance(node.value, dict):
        entries = {key: with_place(member, place) for key, member in node.value.items()}
        return Node(entries, place, dict.fromkeys(entries, place))
    if isinstance(node.value, list):
        return Node([with_place(member, place) for member in node.value], place)
    return Node(node.value, place)
