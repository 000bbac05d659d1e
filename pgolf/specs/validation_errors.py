"""Explains pydantic's validation errors: file:line, what was found, what was expected, the nearest key."""

import re
from typing import Any

from pydantic import ValidationError

from pgolf.gpus import GPU_PATTERN
from pgolf.specs.experiment import NAME_PATTERN
from pgolf.specs.script import SCRIPT_PATTERN, VARIABLE_PATTERN
from pgolf.specs.suggestions import Path, component_kinds, nearest, spec_path, valid_keys
from pgolf.specs.yaml_documents import Node, Place, describe_value
from trainer.recipe.strict import RecipeConflict

UNKNOWN_KEY = ("extra_forbidden", "unexpected_keyword_argument")
PATTERNS = {
    NAME_PATTERN: "lower-case letters, digits, `.`, `_` or `-`",
    VARIABLE_PATTERN: "the name of an environment variable",
    SCRIPT_PATTERN: "a Python file, such as train_gpt.py",
    GPU_PATTERN: 'a kind and a number, such as "H100:8"',
}


def explain_errors(error: ValidationError, document: Node) -> str:
    """Return one line for each error.

    Unknown keys come first, and a key that an unknown one probably means is not reported as missing.
    """
    details = without_other_types(error.errors(include_url=False))
    unknown = [detail for detail in details if detail["type"] in UNKNOWN_KEY]
    meant = {(*d["loc"][:-1], nearest(str(d["loc"][-1]), valid_keys(d["loc"][:-1]))) for d in unknown}
    others = [d for d in details if d not in unknown and not (d["type"] == "missing" and d["loc"] in meant)]
    return "\n".join(explain_error(detail, document) for detail in (*unknown, *others))


def without_other_types(details: list[Any]) -> list[Any]:
    """Drop the type errors of a value that may be a list or a scalar, if another error concerns the same value."""
    paths = [error_path(detail) for detail in details]
    return [
        detail
        for number, (detail, path) in enumerate(zip(details, paths, strict=True))
        if not (
            (detail["type"] == "tuple_type" or (isinstance(detail["input"], list) and detail["type"].endswith("_type")))
            and any(other[: len(path)] == path for n, other in enumerate(paths) if n != number)
        )
    ]


def refused_keys(error: ValidationError) -> tuple[str, ...]:
    """Return the dotted key of each error."""
    return tuple(".".join(map(str, error_path(detail))) for detail in error.errors(include_url=False))


def error_path(detail: Any) -> Path:
    """Return the path in the spec of the value to change."""
    conflict = detail.get("ctx", {}).get("error")
    path = spec_path(detail["loc"])
    return path + conflict.path if isinstance(conflict, RecipeConflict) else path


def explain_error(detail: Any, document: Node) -> str:
    """Return one error in one line."""
    location: Path = detail["loc"]
    conflict = detail.get("ctx", {}).get("error")
    path = error_path(detail)
    place = place_of(document, path)
    if conflict is not None and (assigned := assigned_below(document, path[: len(spec_path(location))])):
        place = assigned  # of two contradicting values, the user has just written the one on the command line
    dotted = ".".join(map(str, path)) or "the spec"
    match detail["type"]:
        case kind if kind in UNKNOWN_KEY:
            return f"{place}: {dotted} is not a key here; {suggest_key(str(path[-1]), valid_keys(location[:-1]))}"
        case "missing":
            return f"{place}: {dotted} is missing; add it, or build on a spec that has it with `extends:`"
        case "union_tag_not_found":
            return f"{place}: {dotted} has no `kind`; expected one of {', '.join(component_kinds(location))}"
        case "union_tag_invalid":
            tag = detail["ctx"]["tag"]
            place = place_of(document, (*path, "kind"))
            return f"{place}: {dotted}.kind {tag!r} is unknown; {suggest_kind(tag, detail)}"
        case "value_error":
            return f"{place}: {dotted}: {conflict}"
        case "string_pattern_mismatch":
            return f"{place}: {dotted}: found {detail['input']!r}, expected {PATTERNS[detail['ctx']['pattern']]}"
    return f"{place}: {dotted}: found {describe_value(detail['input'])}, {expectation(detail['msg'])}"


def expectation(message: str) -> str:
    """Rephrase pydantic's message as `expected ...`."""
    said = message.removeprefix("Input should be ").removeprefix("a valid ")
    said = re.sub(r"(a )?dictionary( or .*)?$", "a mapping", said)
    said = re.sub(r"List should have (.*) after.*", r"a list with \1", said)
    return f"expected {said}"


def suggest_key(word: str, keys: list[str]) -> str:
    """Return the most similar key as a question, or all valid keys."""
    if close := nearest(word, keys):
        return f"did you mean `{close}`?"
    return f"expected one of {', '.join(keys)}" if keys else "no keys are expected here"


def suggest_kind(tag: str, detail: Any) -> str:
    """Return the most similar kind as a question, or all valid kinds."""
    words = [word.strip("' ") for word in detail["ctx"]["expected_tags"].split(",")]
    close = nearest(str(tag), words)
    return f"did you mean `{close}`?" if close else f"expected one of {', '.join(words)}"


def place_of(document: Node, path: Path) -> Place:
    """Return where the value at a path was written, or the nearest mapping above it."""
    node = document
    place = document.place
    for part in path:
        if isinstance(node.value, dict) and part in node.value:
            place = node.key_places.get(str(part), node.value[part].place)
            node = node.value[str(part)]
        elif isinstance(node.value, list) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            place = node.place
        else:
            break
    return place


def assigned_below(document: Node, path: Path) -> Place | None:
    """Return the --set argument that wrote a value at or below a path, or None."""
    node = document
    for part in path:
        node = node.value[part if isinstance(node.value, list) else str(part)]
    written = (source for source in sources(node).values() if source.startswith("--set"))
    return next((Place(source) for source in written), None)


def sources(document: Node, prefix: str = "") -> dict[str, str]:
    """Return where each value was written, by dotted key; defaults are not included."""
    if not isinstance(document.value, dict):
        return {prefix: str(document.place)}
    found: dict[str, str] = {}
    for key, node in document.value.items():
        found |= sources(node, f"{prefix}.{key}" if prefix else key)
    return found
