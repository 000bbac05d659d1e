"""One spec out of several: mappings merge by key, another `kind` replaces the slot, everything else replaces."""

from typing import Any

from pgolf.errors import SpecError
from pgolf.specs.yaml_documents import DEEPEST, Node, Place, parse_yaml


def merge(below: Node, above: Node) -> Node:
    """`below` with `above` on top of it."""
    if not (isinstance(below.value, dict) and isinstance(above.value, dict)) or names_another_kind(below, above):
        return above
    merged = dict(below.value)
    for key, node in above.value.items():
        merged[key] = merge(merged[key], node) if key in merged else node
    return Node(merged, below.place, below.key_places | above.key_places)


def names_another_kind(below: Node, above: Node) -> bool:
    """Whether the upper mapping is a different component, whose keys have nothing to do with the lower one's."""
    kind = above.value.get("kind")
    return kind is not None and ("kind" not in below.value or kind.value != below.value["kind"].value)


def parse_assignment(argument: str) -> Node:
    """The mapping that `a.b=value` stands for; the value is read as YAML.

    Raises: SpecError when there is no key or no `=`.
    """
    key, equals, text = argument.partition("=")
    place = Place(f"--set {argument}")
    parts = key.strip().split(".")
    if not equals or not all(parts) or len(parts) > DEEPEST:
        raise SpecError(f"{place}: expected KEY=VALUE with a dotted key, such as recipe.budget.train=100")
    return assign(key.strip(), without_lines(parse_yaml(text, str(place)), place))


def assign(key: str, node: Node) -> Node:
    """The mapping in which a value stands at a dotted key."""
    for part in reversed(key.split(".")):
        node = Node({part: node}, node.place, {part: node.place})
    return node


def as_node(value: Any, place: Place) -> Node:
    """A plain value as one that stands at a place."""
    if isinstance(value, dict):
        return Node({key: as_node(member, place) for key, member in value.items()}, place, dict.fromkeys(value, place))
    return Node([as_node(member, place) for member in value] if isinstance(value, list) else value, place)


def without_lines(node: Node, place: Place) -> Node:
    """The same value, all of it placed at a command-line argument."""
    if isinstance(node.value, dict):
        entries = {key: without_lines(member, place) for key, member in node.value.items()}
        return Node(entries, place, dict.fromkeys(entries, place))
    if isinstance(node.value, list):
        return Node([without_lines(member, place) for member in node.value], place)
    return Node(node.value, place)
