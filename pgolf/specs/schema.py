"""The JSON schema of a spec file, for editors and for the generated reference."""

import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, get_args

from pydantic import BaseModel

from pgolf.specs.docstrings import field_docstrings
from pgolf.specs.experiment import Experiment
from pgolf.specs.search import Search
from pgolf.specs.sweeps import SWEEP, Sweep

Schema = dict[str, Any]


def file_schema() -> Schema:
    """Return the JSON schema of a spec file: an experiment, and the keys that only files have."""
    document = Experiment.model_json_schema()
    for key in ("recipe", "program"):  # null is not a way to leave one out
        value = document["properties"][key]
        (document["properties"][key],) = [part for part in value["anyOf"] if "$ref" in part]
    document["anyOf"] = [{"required": ["recipe"]}, {"required": ["program"]}, {"required": ["extends"]}]
    swept = SWEEP.json_schema(ref_template="#/$defs/{model}")
    searched = Search.model_json_schema(ref_template="#/$defs/{model}")
    document["$defs"] |= swept.pop("$defs") | searched.pop("$defs") | {"Search": searched}
    classes = {cls.__name__: cls for root in (Experiment, Sweep, Search) for cls in classes_in(root)}
    for name, definition in document["$defs"].items():
        if name in classes:
            describe_fields(definition, classes[name])
    describe_fields(document, Experiment)
    document["properties"] |= {
        "extends": {
            "type": "string",
            "description": "A shipped experiment or a file to build on; up to four may build on one another.",
        },
        "overlays": {"type": "object", "description": "Named changes, applied by --with NAME."},
        "search": {"$ref": "#/$defs/Search"},
        "sweep": swept | {"description": "Values that vary: one spec then stands for several."},
    }
    return document


def schema_text() -> str:
    """Return the JSON schema of a spec file as the text of a file."""
    return json.dumps(file_schema(), indent=2) + "\n"


def describe_fields(definition: Schema, cls: type) -> None:
    """Add the docstrings below a class's fields as descriptions of its properties."""
    aliases = {name: field.alias for name, field in cls.model_fields.items()} if issubclass(cls, BaseModel) else {}
    for name, text in field_docstrings(cls).items():
        key = aliases.get(name) or name
        if key in definition.get("properties", {}):
            definition["properties"][key]["description"] = text


def classes_in(kind: Any, seen: set[Any] | None = None) -> Iterator[type]:
    """Yield a model or dataclass and all others that its fields reach."""
    seen = set() if seen is None else seen
    if is_dataclass(kind) and isinstance(kind, type):
        inner = [field.type for field in fields(kind)]
    elif isinstance(kind, type) and issubclass(kind, BaseModel):
        inner = [field.annotation for field in kind.model_fields.values()]
    else:
        for part in get_args(kind):
            yield from classes_in(part, seen)
        return
    if kind not in seen:
        seen.add(kind)
        yield kind
        for part in inner:
            yield from classes_in(part, seen)
